#pragma once
// Components of a pipeline that are not quantized: their documents as they are, their weights as they are loaded.

#include <string>

#include "convert/output_plan.h"
#include "ptq/model_source.h"

namespace ditq {

/// Adds a component to a plan, in a folder of its name; `held` keeps its files open. Weights are copied, or cast where
/// they are loaded in another dtype; then a `dtype` or `torch_dtype` of its config says so. Weights in other containers
/// than safetensors, and their precision variants, stay behind.
/// Errors: unsupported (weights in other containers only); as list_side_files, open_component and read_json.
void plan_copied(const PipelineSource& pipeline,
                 const std::string& component,
                 Dtype dtype,
                 OutputPlan& plan,
                 std::vector<std::shared_ptr<const Checkpoint>>& held);

}  // namespace ditq
