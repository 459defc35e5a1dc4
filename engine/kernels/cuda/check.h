#pragma once
// Results of CUDA's calls become errors.

#include <cuda_runtime_api.h>

namespace ditq {

/// Errors: out_of_memory or device, naming the call.
void cuda_check(cudaError_t result, const char* call);

}  // namespace ditq
