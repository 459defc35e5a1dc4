// RMS norm and rotation of queries and keys: a head by Dh / 8 neighbouring threads, 16 bytes of each of the two. For
// FP8 attention the results leave as E4M3 codes, and the largest value is found in the same pass.

#include <cstdint>

#include "kernels/cuda/check.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/vector.cuh"

namespace ditq {
namespace {

constexpr int kThreads = 192;  ///< half of FLUX.1's 24 heads of 128
constexpr int kLane = 8;

/// Sums over the kWidth threads of a head, the same in each.
template <int kWidth>
__device__ inline float head_sum(float value) {
#pragma unroll
  for (int lane = kWidth / 2; lane > 0; lane /= 2) {
    value += __shfl_xor_sync(0xFFFFFFFFU, value, lane);
  }
  return value;
}

/// Norm and rotation of eight channels; `weight` and the angles are those of these channels.
template <int kWidth>
__device__ inline void turn(float* values,
                            const __nv_bfloat16* weights,
                            const float* cosines,
                            const float* sines,
                            float epsilon) {
  float weight[kLane];
  load8(weights, weight);
  float squares = 0;
#pragma unroll
  for (int i = 0; i < kLane; ++i) squares += values[i] * values[i];
  const float mean_square = head_sum<kWidth>(squares) / static_cast<float>(kWidth * kLane);
  const float inverse = 1.0F / sqrtf(mean_square + epsilon);
#pragma unroll
  for (int i = 0; i < kLane / 2; ++i) {
    const float2 pair = __bfloat1622float2(__floats2bfloat162_rn(
        values[2 * i] * inverse * weight[2 * i], values[2 * i + 1] * inverse * weight[2 * i + 1]));
    // The products are rounded before the sum, as two tensor operations round them.
    values[2 * i] = __fmul_rn(pair.x, cosines[i]) - __fmul_rn(pair.y, sines[i]);
    values[2 * i + 1] = __fmul_rn(pair.y, cosines[i]) + __fmul_rn(pair.x, sines[i]);
  }
}

/// The rounding of the tensor that these values would be stored in.
__device__ inline void round_to_bf16(float* values) {
#pragma unroll
  for (int i = 0; i < kLane; ++i) values[i] = rounded(values[i]);
}

__device__ inline std::uint8_t* row_of(const CodeView& view,
                                       std::int64_t batch,
                                       std::int64_t token) {
  return static_cast<std::uint8_t*>(view.data) + batch * view.batch_stride +
         token * view.row_stride;
}

/// Raises `largest` by a block's values: bits of magnitudes compare as the magnitudes do, and NaN is above all of them.
__device__ inline void raise(std::uint32_t value, std::uint32_t* largest) {
  __shared__ std::uint32_t parts[kThreads / 32];
  value = __reduce_max_sync(0xFFFFFFFFU, value);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
  __syncthreads();
  if (threadIdx.x != 0) return;
#pragma unroll
  for (int warp = 0; warp < kThreads / 32; ++warp) value = max(value, parts[warp]);
  atomicMax(largest, value);
}

__device__ inline std::uint32_t largest_bits(const __nv_bfloat16* from) {
  const uint4 words = *reinterpret_cast<const uint4*>(from);
  std::uint32_t out = 0;
#pragma unroll
  for (const std::uint32_t word : {words.x, words.y, words.z, words.w}) {
    out = max(out, max(word & 0x7FFF0000U, word << 16 & 0x7FFF0000U));
  }
  return out;
}

/// kWidth threads hold a head of 8 * kWidth channels, of the queries and of the keys at once; a block takes the
/// heads of one token.
template <int kWidth, bool kCodes>
__global__ void __launch_bounds__(kThreads) qk_norm_rope(const QkNormRopeProblem p) {
  constexpr int kHeads = kThreads / kWidth;
  const std::int64_t token = blockIdx.x;
  const std::int64_t batch = blockIdx.y;
  const int channel = static_cast<int>(threadIdx.x % kWidth) * kLane;
  const bool is_text = token < p.text_tokens;
  const auto* q_weights =
      static_cast<const __nv_bfloat16*>(is_text ? p.text_q : p.image_q) + channel;
  const auto* k_weights =
      static_cast<const __nv_bfloat16*>(is_text ? p.text_k : p.image_k) + channel;
  const auto epsilon = static_cast<float>(p.epsilon);

  const std::int64_t angle = token * (kWidth * kLane / 2) + channel / 2;
  const float4 cos = *reinterpret_cast<const float4*>(p.cos + angle);
  const float4 sin = *reinterpret_cast<const float4*>(p.sin + angle);
  const float cosines[4] = {cos.x, cos.y, cos.z, cos.w};
  const float sines[4] = {sin.x, sin.y, sin.z, sin.w};
  auto* q_row = static_cast<__nv_bfloat16*>(p.q.data) + batch * p.q.batch_stride +
                token * p.q.row_stride + channel;
  auto* k_row = static_cast<__nv_bfloat16*>(p.k.data) + batch * p.k.batch_stride +
                token * p.k.row_stride + channel;

  const __nv_bfloat16* v_row = nullptr;
  if constexpr (kCodes) {
    v_row = static_cast<const __nv_bfloat16*>(p.v.data) + batch * p.v.batch_stride +
            token * p.v.row_stride + channel;
  }
  std::uint32_t largest = 0;

  const int heads = static_cast<int>(p.heads);
  const int rounds = (heads + kHeads - 1) / kHeads;
  for (int round = 0; round < rounds; ++round) {
    const int wanted = round * kHeads + static_cast<int>(threadIdx.x) / kWidth;
    // Whole warps stay for the sums: threads behind the last head repeat it and write nothing.
    const int head = wanted < heads ? wanted : heads - 1;
    float q[kLane];
    float k[kLane];
    load8(q_row + head * kWidth * kLane, q);
    load8(k_row + head * kWidth * kLane, k);
    if constexpr (kCodes) largest = max(largest, largest_bits(v_row + head * kWidth * kLane));
    turn<kWidth>(q, q_weights, cosines, sines, epsilon);
    turn<kWidth>(k, k_weights, cosines, sines, epsilon);
    if (wanted >= heads) continue;
    if constexpr (kCodes) {
      const int at = head * kWidth * kLane + channel;
      round_to_bf16(q);
      round_to_bf16(k);
      store8_e4m3(row_of(p.q_codes, batch, token) + at, q, p.q_inverse);
      store8_e4m3(row_of(p.k_codes, batch, token) + at, k, p.k_inverse);
    } else {
      store8(q_row + head * kWidth * kLane, q);
      store8(k_row + head * kWidth * kLane, k);
    }
  }
  if constexpr (kCodes) raise(largest, p.largest_v);
}

template <int kWidth>
void launch(const QkNormRopeProblem& problem, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(problem.tokens), static_cast<unsigned>(problem.batch));
  if (problem.q_codes.data != nullptr) {
    qk_norm_rope<kWidth, true><<<grid, kThreads, 0, stream>>>(problem);
  } else {
    qk_norm_rope<kWidth, false><<<grid, kThreads, 0, stream>>>(problem);
  }
}

}  // namespace

void launch_qk_norm_rope(const QkNormRopeProblem& problem, cudaStream_t stream) {
  if (problem.batch * problem.tokens * problem.heads == 0) return;
  switch (problem.head_dim / kLane) {
    case 8:
      launch<8>(problem, stream);
      break;
    case 16:
      launch<16>(problem, stream);
      break;
    default:
      launch<32>(problem, stream);
      break;
  }
  cuda_check(cudaGetLastError(), "qk_norm_rope");
}

}  // namespace ditq
