#pragma once
// perf.json: timings and memory of a run, in SGLang's keys with ours under `meta` (bridge reference 7.2).

#include <string>

#include "pipeline/pipeline.h"

namespace ditq {

/// Resident memory of this process in MiB: now and its peak. Source: proc(5), VmRSS and VmHWM.
struct ProcessMemory {
  double resident_mb = 0;
  double peak_mb = 0;
};
ProcessMemory process_memory();

/// What was loaded, in the keys of perf.json's meta: {"scheme", "scheme_source", "layers", "arithmetic",
/// "quantized_activations", "weight_bytes", "attention_backend", "fp4_backend", "sources": {"model_path",
/// "component_paths", "transformer_weights_path"}}.
Json side_document(const PipelineDescription& pipeline, const PipelineSources& sources);

/// The document for one generation; `command` is the program's argument list.
Json perf_document(const Generation& generation,
                   const PipelineDescription& pipeline,
                   const std::string& model,
                   const std::vector<std::string>& command);

}  // namespace ditq
