#pragma once
// What the GPU's linear layers share.

#include <cstdint>
#include <vector>

#include "kernels/cuda_device.h"
#include "tensor/tensor.h"

namespace ditq {

/// The biases of all parts in one, zeros where one has none; empty where none has. sizes: each part's output features.
Tensor joined_bias(const std::vector<Tensor>& biases, const std::vector<std::int64_t>& sizes);

/// A product with its operands: x [M, K], weight [N, K] contiguous, bias [N] or empty, out [M, N]; rows of x and out
/// are contiguous.
GemmProblem gemm_problem(const Tensor& x,
                         const Tensor& weight,
                         const Tensor& bias,
                         const Tensor& out);

/// Runs a bf16 product with GELU behind it where `gelu` asks for it: in its epilogue, or apart where that has no
/// kernel.
void run_bf16_gemm(GemmProblem problem, bool gelu, const Tensor& out);

}  // namespace ditq
