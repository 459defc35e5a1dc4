// NVFP4: packed weights to bf16, and activations to the values that FP4 units multiply. Both are exact in bf16.

#include <cstdint>

#include "kernels/cuda/check.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/vector.cuh"

namespace ditq {
namespace {

constexpr int kThreads = 256;
constexpr int kLane = 8;    ///< values of one access of bf16
constexpr int kUnroll = 4;  ///< accesses in flight for each thread
constexpr int kBlock = 16;  ///< values under one scale

__device__ inline float e4m3_value(std::uint8_t code) {
  return __half2float(__nv_cvt_fp8_to_halfraw(code, __NV_E4M3));
}

/// bf16 bits of four E2M1 codes (of 16 bits), two in each word. Bytes are looked up by the codes' lower three bits.
__device__ inline uint2 e2m1_values(std::uint32_t codes) {
  const std::uint32_t index = codes & 0x7777U;
  const std::uint32_t low = __byte_perm(0xC0800000U, 0xC0804000U, index);
  const std::uint32_t signs =
      (codes & 0x8U) << 4 | (codes & 0x80U) << 8 | (codes & 0x800U) << 12 | (codes & 0x8000U) << 16;
  const std::uint32_t high = __byte_perm(0x3F3F3F00U, 0x40404040U, index) | signs;
  return make_uint2(__byte_perm(low, high, 0x5140), __byte_perm(low, high, 0x7362));
}

/// Eight codes under one scale. The products have at most six significant bits.
__device__ inline Bf16x8 dequantized(std::uint32_t codes, std::uint8_t scale) {
  const __nv_bfloat162 factor = __float2bfloat162_rn(e4m3_value(scale));
  const uint2 first = e2m1_values(codes & 0xFFFFU);
  const uint2 second = e2m1_values(codes >> 16);
  const std::uint32_t words[4] = {first.x, first.y, second.x, second.y};
  Bf16x8 out;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    out.pairs[i] = __hmul2_rn(*reinterpret_cast<const __nv_bfloat162*>(&words[i]), factor);
  }
  return out;
}

/// `count` accesses of eight values, over the whole matrix: rows are contiguous.
__global__ void __launch_bounds__(kThreads) dequantize(const std::uint32_t* codes,
                                                       const std::uint8_t* scales,
                                                       Bf16x8* out,
                                                       std::int64_t count) {
  const std::int64_t first =
      static_cast<std::int64_t>(blockIdx.x) * (kThreads * kUnroll) + threadIdx.x;
  std::uint32_t words[kUnroll];
  std::uint8_t factors[kUnroll];
#pragma unroll
  for (int i = 0; i < kUnroll; ++i) {
    const std::int64_t at = first + i * kThreads;
    if (at >= count) continue;
    words[i] = codes[at];
    factors[i] = scales[at * kLane / kBlock];
  }
#pragma unroll
  for (int i = 0; i < kUnroll; ++i) {
    const std::int64_t at = first + i * kThreads;
    if (at < count) out[at] = dequantized(words[i], factors[i]);
  }
}

/// Adding and subtracting 1.5 * 2^23 quanta rounds to a multiple of the quantum, ties to even. `floor`: the least
/// exponent that has its own quanta; `shift`: 23 less the mantissa bits. As ops/nvfp4.cpp does it.
template <std::uint32_t kFloor, std::uint32_t kShift>
__device__ inline float nearest(float value) {
  const std::uint32_t exponent = __float_as_uint(value) >> 23 & 0xFF;
  const std::uint32_t bounded = exponent < kFloor ? kFloor : exponent;
  const float magic = __uint_as_float((bounded + kShift) << 23 | 0x400000);
  return __fsub_rn(__fadd_rn(value, magic), magic);
}

/// One block of activations by one thread.
__global__ void __launch_bounds__(kThreads)
    quantize(const Nvfp4QuantizeProblem p, float global, float inverse_global) {
  const auto per_row = static_cast<std::uint32_t>(p.columns / kBlock);
  const std::uint32_t block = blockIdx.x * kThreads + threadIdx.x;
  if (block >= per_row) return;
  const std::int64_t row = blockIdx.y;
  const auto* x = static_cast<const __nv_bfloat16*>(p.x) + row * p.x_stride + block * kBlock;
  auto* out = static_cast<__nv_bfloat16*>(p.out) + row * p.columns + block * kBlock;
  float values[kBlock];
  load8(x, values);
  load8(x + kLane, values + kLane);
  // Magnitudes compare as integers, and NaN is above all of them.
  std::uint32_t largest = 0;
#pragma unroll
  for (const float value : values) largest = max(largest, __float_as_uint(value) & 0x7FFFFFFFU);
  const float wanted = __fmul_rn(global, __fmul_rn(__uint_as_float(largest), 1.0F / 6.0F));
  const float scale = nearest<121, 20>(wanted > 448.0F ? 448.0F : wanted);
  const float factor = scale == 0 ? 0.0F : __frcp_rn(__fmul_rn(scale, inverse_global));
#pragma unroll
  for (float& value : values) {
    const float scaled = __fmul_rn(value, factor);
    const float magnitude = fabsf(scaled);
    const float product = __fmul_rn(nearest<127, 22>(magnitude > 6.0F ? 6.0F : magnitude), scale);
    value = __uint_as_float(__float_as_uint(product) | (__float_as_uint(scaled) & 0x80000000U));
  }
  store8(out, values);
  store8(out + kLane, values + kLane);
}

/// Rows that one launch's grid can hold.
constexpr std::int64_t kMaxRows = 65535;

}  // namespace

void launch_dequantize_nvfp4(const Nvfp4DequantizeProblem& problem, cudaStream_t stream) {
  const std::int64_t count = problem.rows * problem.columns / kLane;
  if (count == 0) return;
  constexpr std::int64_t kPerBlock = static_cast<std::int64_t>(kThreads) * kUnroll;
  const auto blocks = static_cast<unsigned>((count + kPerBlock - 1) / kPerBlock);
  dequantize<<<blocks, kThreads, 0, stream>>>(static_cast<const std::uint32_t*>(problem.codes),
                                              static_cast<const std::uint8_t*>(problem.scales),
                                              static_cast<Bf16x8*>(problem.out), count);
  cuda_check(cudaGetLastError(), "dequantize_nvfp4");
}

void launch_quantize_nvfp4(const Nvfp4QuantizeProblem& problem, cudaStream_t stream) {
  if (problem.columns == 0) return;
  const float global = 1.0F / problem.input_scale;
  const float inverse_global = 1.0F / global;
  const auto blocks = static_cast<unsigned>((problem.columns / kBlock + kThreads - 1) / kThreads);
  for (std::int64_t row = 0; row < problem.rows; row += kMaxRows) {
    Nvfp4QuantizeProblem part = problem;
    part.rows = problem.rows - row < kMaxRows ? problem.rows - row : kMaxRows;
    part.x = static_cast<const __nv_bfloat16*>(problem.x) + row * problem.x_stride;
    part.out = static_cast<__nv_bfloat16*>(problem.out) + row * problem.columns;
    quantize<<<dim3(blocks, static_cast<unsigned>(part.rows)), kThreads, 0, stream>>>(
        part, global, inverse_global);
    cuda_check(cudaGetLastError(), "quantize_nvfp4");
  }
}

}  // namespace ditq
