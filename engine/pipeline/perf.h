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

/// The document for one generation; `command` is the program's argument list.
Json perf_document(const Generation& generation,
                   const PipelineDescription& pipeline,
                   const std::string& model,
                   const std::vector<std::string>& command);

}  // namespace ditq
