#pragma once
// Versions and kernels of this build and machine, as perf.json and `ditq version` state them.

#include "pipeline/engine.h"

namespace ditq {

/// {"ditq": …, "libtorch": …}.
Json version_document();

/// Which kernels run on a device (PipelineDescription::device), such as "brgemm bf16 (AVX512-BF16)".
std::string kernel_names(const std::string& device);

/// libtorch, CPU capability, threads and devices.
EngineInfo engine_info();

}  // namespace ditq
