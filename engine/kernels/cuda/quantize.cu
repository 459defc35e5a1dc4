// bf16 to E4M3, with or without GELU in front, and back: eight values a thread.

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
  float inverse = p.inverse_scale;
  if (p.largest != nullptr) {
    constexpr float kMost = 448.0F;
    const float largest = *p.largest == 0 ? kMost : *p.largest;
    inverse = kMost / largest;
    if (first == 0 && row == 0) {
      p.made_scale[0] = largest / kMost;
      p.made_scale[1] = inverse;
    }
  }
#pragma unroll
  for (int i = 0; i < kUnroll; ++i) {
    const std::uint32_t at = first + i * kThreads;
    if (at >= per_row) continue;
    if constexpr (kGelu) {
#pragma unroll
      for (int j = 0; j < kLane; ++j) values[i][j] = rounded(gelu_tanh_value(values[i][j]));
    }
    store8_e4m3(out + at * kLane, values[i], inverse);
  }
}

__global__ void __launch_bounds__(kThreads) dequantize(const DequantizeProblem p) {
  const auto per_row = static_cast<std::uint32_t>(p.columns / kLane);
  const std::uint32_t at = blockIdx.x * kThreads + threadIdx.x;
  if (at >= per_row) return;
  const std::uint32_t row = blockIdx.y;
  float values[kLane];
  load8_e4m3(static_cast<const std::uint8_t*>(p.codes) + row * p.codes_stride + at * kLane,
             *p.scale, values);
  store8(static_cast<__nv_bfloat16*>(p.out) + row * p.out_stride + at * kLane, values);
}

/// Rows that one launch's grid can hold.
constexpr std::int64_t kMaxRows = 65535;

unsigned blocks_for(std::int64_t count, std::int64_t per_block) {
  return static_cast<unsigned>((count + per_block - 1) / per_block);
}

}  // namespace

void launch_quantize(const QuantizeProblem& problem, cudaStream_t stream) {
  if (problem.columns == 0) return;
  constexpr std::int64_t kPerBlock = static_cast<std::int64_t>(kThreads) * kUnroll * kLane;
  const unsigned blocks = blocks_for(problem.columns, kPerBlock);
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

void launch_dequantize(const DequantizeProblem& problem, cudaStream_t stream) {
  if (problem.columns == 0) return;
  const unsigned blocks = blocks_for(problem.columns, static_cast<std::int64_t>(kThreads) * kLane);
  for (std::int64_t row = 0; row < problem.rows; row += kMaxRows) {
    DequantizeProblem part = problem;
    part.rows = problem.rows - row < kMaxRows ? problem.rows - row : kMaxRows;
    part.codes = static_cast<const std::uint8_t*>(problem.codes) + row * problem.codes_stride;
    part.out = static_cast<__nv_bfloat16*>(problem.out) + row * problem.out_stride;
    dequantize<<<dim3(blocks, static_cast<unsigned>(part.rows)), kThreads, 0, stream>>>(part);
    cuda_check(cudaGetLastError(), "dequantize");
  }
}

}  // namespace ditq
