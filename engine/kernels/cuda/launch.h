#pragma once
// The launchers of the .cu files: a problem and a stream, no libtorch.

#include <string>

#include <cuda_runtime_api.h>

#include "kernels/cuda_device.h"

namespace ditq {

void launch_norm_modulate(const NormModulateProblem& problem, cudaStream_t stream);
void launch_qk_norm_rope(const QkNormRopeProblem& problem, cudaStream_t stream);
void launch_quantize(const QuantizeProblem& problem, cudaStream_t stream);
/// Empty if launch_attention takes the problem.
std::string why_no_attention(const AttentionProblem& problem, const CudaDeviceInfo& device);
void launch_attention(const AttentionProblem& problem, int multiprocessors, cudaStream_t stream);
void launch_dequantize(const DequantizeProblem& problem, cudaStream_t stream);
void launch_dequantize_nvfp4(const Nvfp4DequantizeProblem& problem, cudaStream_t stream);
void launch_quantize_nvfp4(const Nvfp4QuantizeProblem& problem, cudaStream_t stream);

}  // namespace ditq
