// RMS norm and rotation of queries and keys: a head by Dh / 8 neighbouring threads, 16 bytes of each of the two.

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

/// kWidth threads hold a head of 8 * kWidth channels, of the queries and of the keys at once; a block takes the heads of
/// one token.
template <int kWidth>
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
    turn<kWidth>(q, q_weights, cosines, sines, epsilon);
    turn<kWidth>(k, k_weights, cosines, sines, epsilon);
    if (wanted >= heads) continue;
    store8(q_row + head * kWidth * kLane, q);
    store8(k_row + head * kWidth * kLane, k);
  }
}

}  // namespace

void launch_qk_norm_rope(const QkNormRopeProblem& problem, cudaStream_t stream) {
  if (problem.batch * problem.tokens * problem.heads == 0) return;
  const dim3 grid(static_cast<unsigned>(problem.tokens), static_cast<unsigned>(problem.batch));
  switch (problem.head_dim / kLane) {
    case 8:
      qk_norm_rope<8><<<grid, kThreads, 0, stream>>>(problem);
      break;
    case 16:
      qk_norm_rope<16><<<grid, kThreads, 0, stream>>>(problem);
      break;
    default:
      qk_norm_rope<32><<<grid, kThreads, 0, stream>>>(problem);
      break;
  }
  cuda_check(cudaGetLastError(), "qk_norm_rope");
}

}  // namespace ditq
