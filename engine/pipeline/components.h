#pragma once
// The components of a diffusers pipeline folder, with the command line's overrides.

#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "pipeline/engine.h"
#include "tensor/weights.h"

namespace ditq {

/// Where each component lies.
class ComponentFolders {
 public:
  /// Reads model_index.json. Errors: file_not_found, json_type; usage for an override of a component that the pipeline
  /// does not have.
  explicit ComponentFolders(const PipelineSources& sources);

  /// `_class_name` of the pipeline, such as "FluxPipeline".
  const std::string& pipeline_class() const { return pipeline_class_; }
  /// Components that the pipeline has, in the index's order.
  const std::vector<std::string>& names() const { return names_; }
  /// Where a component is: a folder or, for a transformer, also a .safetensors file. It may be absent.
  std::string place(const std::string& component) const;
  /// The folder of a component: the override, or the folder of that name. Errors: file_not_found.
  std::string folder(const std::string& component) const;
  /// A JSON document of a component's folder. Errors: as read_json.
  Json document(const std::string& component, const std::string& file) const;
  /// Opens a component's weights. Errors: as open_component.
  Weights weights(const std::string& component, at::ScalarType dtype, at::Device device) const;

 private:
  std::string path_;
  std::string pipeline_class_;
  std::vector<std::string> names_;
  std::map<std::string, std::string> overrides_;
};

}  // namespace ditq
