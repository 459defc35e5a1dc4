#pragma once
// Eight bf16 values at a time: 16-byte accesses, arithmetic in f32, the rounding of a tensor in between.

#include <cstdint>

#include <cuda_bf16.h>
#include <cuda_fp8.h>

namespace ditq {

/// What a value becomes when it passes through a bf16 tensor.
__device__ inline float rounded(float value) {
  return __bfloat162float(__float2bfloat16_rn(value));
}

/// Eight neighbouring bf16 values of memory.
struct alignas(16) Bf16x8 {
  __nv_bfloat162 pairs[4];

  __device__ void unpack(float* out) const {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float2 pair = __bfloat1622float2(pairs[i]);
      out[2 * i] = pair.x;
      out[2 * i + 1] = pair.y;
    }
  }
  /// The same, each value rounded to bf16.
  __device__ void pack(const float* in) {
#pragma unroll
    for (int i = 0; i < 4; ++i) pairs[i] = __floats2bfloat162_rn(in[2 * i], in[2 * i + 1]);
  }
};

__device__ inline void load8(const __nv_bfloat16* from, float* out) {
  reinterpret_cast<const Bf16x8*>(from)->unpack(out);
}

__device__ inline void store8(__nv_bfloat16* to, const float* in) {
  Bf16x8 packed;
  packed.pack(in);
  *reinterpret_cast<Bf16x8*>(to) = packed;
}

/// E4M3 codes of in * inverse_scale: nearest, ties to even, saturating at 448; NaN stays NaN.
__device__ inline void store8_e4m3(std::uint8_t* to, const float* in, float inverse_scale) {
  std::uint32_t words[2];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float2 pair = make_float2(in[2 * i] * inverse_scale, in[2 * i + 1] * inverse_scale);
    const auto codes =
        static_cast<std::uint32_t>(__nv_cvt_float2_to_fp8x2(pair, __NV_SATFINITE, __NV_E4M3));
    if (i % 2 == 0) {
      words[i / 2] = codes;
    } else {
      words[i / 2] |= codes << 16;
    }
  }
  *reinterpret_cast<uint2*>(to) = make_uint2(words[0], words[1]);
}

/// Eight bf16 values of E4M3 codes times scale.
__device__ inline void load8_e4m3(const std::uint8_t* from, float scale, float* out) {
  const uint2 words = *reinterpret_cast<const uint2*>(from);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const std::uint32_t word = i < 2 ? words.x : words.y;
    const auto pair = static_cast<__nv_fp8x2_storage_t>(word >> (i % 2 * 16));
    const float2 values = __half22float2(__nv_cvt_fp8x2_to_halfraw2(pair, __NV_E4M3));
    out[2 * i] = values.x * scale;
    out[2 * i + 1] = values.y * scale;
  }
}

/// x / (1 + exp(-2 u)) with u = sqrt(2 / pi) (x + 0.044715 x^3), which is 0.5 x (1 + tanh(u)).
__device__ inline float gelu_tanh_value(float x) {
  constexpr float kFactor = -2.0F * 0.7978845608F;
  return x / (1.0F + __expf(kFactor * (x + 0.044715F * x * x * x)));
}

__device__ inline float warp_sum(float value) {
#pragma unroll
  for (int lane = 16; lane > 0; lane /= 2) value += __shfl_xor_sync(0xFFFFFFFFU, value, lane);
  return value;
}

}  // namespace ditq
