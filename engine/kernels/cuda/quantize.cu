// bf16 to E4M3, with or without GELU in front: eight values a thread.

#include <cstdint>

#include "kernels/cuda/check.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/vector.cuh"

namespace ditq {
namespace {

constexpr int kThreads = 256;
constexpr int kLane = 8;
constexpr int kUnroll = 2;  ///< accesses in flight for each thread

template <bool kGelu>
__global__ void __launch_bounds__(kThreads) quantize(const QuantizeProblem p) {
  const auto per_row = static_cast<std::uint32_t>(p.columns / kLane);
  const std::uint32_t first = blockIdx.x * (kThreads * kUnroll) + threadIdx.x;
  const std::uint32_t row = blockIdx.y;
  const auto* x = static_cast<const __nv_bfloat16*>(p.x) + row * p.x_stride;
  auto* out = static_cast<std::uint8_t*>(p.out) + row * p.out_stride;
  float values[kUnroll][kLane];
#pragma unroll
  for (int i = 0; i < kUnroll; ++i) {
    const std::uint32_t at = first + i * kThreads;
    if (at < per_row) load8(x + at * kLane, values[i]);
  }
#pragma unroll
  for (int i = 0; i < kUnroll; ++i) {
    const std::uint32_t at = first + i * kThreads;
    if (at >= per_row) continue;
    if constexpr (kGelu) {
#pragma unroll
      for (int j = 0; j < kLane; ++j) values[i][j] = rounded(gelu_tanh_value(values[i][j]));
    }
    store8_e4m3(out + at * kLane, values[i], p.inverse_scale);
  }
}

/// Rows that one launch's grid can hold.
constexpr std::int64_t kMaxRows = 65535;

}  // namespace

void launch_quantize(const QuantizeProblem& problem, cudaStream_t stream) {
  if (problem.columns == 0) return;
  constexpr std::int64_t kPerBlock = static_cast<std::int64_t>(kThreads) * kUnroll * kLane;
  const auto blocks = static_cast<unsigned>((problem.columns + kPerBlock - 1) / kPerBlock);
  for (std::int64_t row = 0; row < problem.rows; row += kMaxRows) {
    QuantizeProblem part = problem;
    part.rows = problem.rows - row < kMaxRows ? problem.rows - row : kMaxRows;
    part.x = static_cast<const __nv_bfloat16*>(problem.x) + row * problem.x_stride;
    part.out = static_cast<std::uint8_t*>(problem.out) + row * problem.out_stride;
    const dim3 grid(blocks, static_cast<unsigned>(part.rows));
    if (problem.gelu) {
      quantize<true><<<grid, kThreads, 0, stream>>>(part);
    } else {
      quantize<false><<<grid, kThreads, 0, stream>>>(part);
    }
    cuda_check(cudaGetLastError(), "quantize");
  }
}

}  // namespace ditq
