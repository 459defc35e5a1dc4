#pragma once
// perf.json: timings and memory of a run, in SGLang's keys with ours under `meta` (bridge reference 7.2).

#include <string>

#include "pipeline/pipeline.h"
#include "pipeline/run_settings.h"

namespace ditq {

/// Resident memory of this process in MiB: now and its peak. Source: proc(5), VmRSS and VmHWM.
struct ProcessMemory {
  double resident_mb = 0;
  double peak_mb = 0;
};
ProcessMemory process_memory();

/// Begins a new peak of what perf.json calls reserved, so that a run is not charged with what came before it: the
/// allocator's of a GPU; of a CPU (device "cpu") the process's resident memory. Source: proc(5), clear_refs.
void begin_peak_memory(const std::string& device);
/// That peak so far, in MiB.
double peak_memory_mb(const std::string& device);

/// What was loaded, in the keys of perf.json's meta: {"scheme", "scheme_source", "layers", "arithmetic",
/// "quantized_activations", "weight_bytes", "attention_backend", "fp4_backend", "sources": {"model_path",
/// "component_paths", "transformer_weights_path"}}.
Json side_document(const PipelineDescription& pipeline, const PipelineSources& sources);

/// The document for one generation; `command` is the program's argument list. The prompt and seed of `settings` are
/// the generation's.
Json perf_document(const Generation& generation,
                   const PipelineDescription& pipeline,
                   RunSettings settings,
                   const std::string& model,
                   const std::vector<std::string>& command);

}  // namespace ditq
