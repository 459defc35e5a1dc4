// Gate, residual, LayerNorm, modulation and quantization of one token by one block: the row stays in registers.

#include <cstdint>

#include "kernels/cuda/check.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/vector.cuh"

namespace ditq {
namespace {

// 384 threads with one access each were slower (42 µs instead of 41 with the update, 31 instead of 22 without it, on an
// H200 at 4608 x 3072): more warps wait for each other at the two sums.
constexpr int kThreads = 128;
constexpr int kWarps = kThreads / 32;
constexpr int kLane = 8;  ///< values of one access

/// The sum over a block, the same in every thread. `shared` holds one value for each warp and is free afterwards.
__device__ float block_sum(float value, float* shared) {
  const float part = warp_sum(value);
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = part;
  __syncthreads();
  float sum = 0;
#pragma unroll
  for (int warp = 0; warp < kWarps; ++warp) sum += shared[warp];
  return sum;
}

__device__ inline const __nv_bfloat16* row_of(const TokenView& view,
                                              std::int64_t batch,
                                              std::int64_t token) {
  return static_cast<const __nv_bfloat16*>(view.data) + batch * view.batch_stride +
         token * view.row_stride;
}

__device__ inline const __nv_bfloat16* vector_of(const VectorView& view, std::int64_t batch) {
  return static_cast<const __nv_bfloat16*>(view.data) + batch * view.batch_stride;
}

/// a * b and a + b of eight values each, every result rounded to bf16: two values an instruction.
__device__ inline Bf16x8 multiply(const Bf16x8& a, const Bf16x8& b) {
  Bf16x8 out;
#pragma unroll
  for (int i = 0; i < 4; ++i) out.pairs[i] = __hmul2_rn(a.pairs[i], b.pairs[i]);
  return out;
}
__device__ inline Bf16x8 add(const Bf16x8& a, const Bf16x8& b) {
  Bf16x8 out;
#pragma unroll
  for (int i = 0; i < 4; ++i) out.pairs[i] = __hadd2_rn(a.pairs[i], b.pairs[i]);
  return out;
}
__device__ inline Bf16x8 add_one(const Bf16x8& a) {
  Bf16x8 out;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    out.pairs[i] = __hadd2_rn(a.pairs[i], __float2bfloat162_rn(1.0F));
  }
  return out;
}

__device__ inline Bf16x8 load(const __nv_bfloat16* from) {
  return *reinterpret_cast<const Bf16x8*>(from);
}

/// kChunks accesses of 8 values a thread cover the row; those behind its end do nothing. All loads of the row are in
/// flight before the first is used.
template <int kChunks, bool kUpdate>
__global__ void __launch_bounds__(kThreads) norm_modulate(const NormModulateProblem p) {
  __shared__ float mean_parts[kWarps];
  __shared__ float square_parts[kWarps];
  const std::int64_t batch = blockIdx.y;
  const std::int64_t token = blockIdx.x;
  const auto width = static_cast<int>(p.width);
  auto* x = const_cast<__nv_bfloat16*>(row_of(p.x, batch, token));
  const auto place = [](int chunk) {
    return (chunk * kThreads + static_cast<int>(threadIdx.x)) * kLane;
  };

  Bf16x8 row[kChunks];
  Bf16x8 update[kUpdate ? kChunks : 1];
  Bf16x8 gate[kUpdate ? kChunks : 1];
#pragma unroll
  for (int chunk = 0; chunk < kChunks; ++chunk) {
    const int at = place(chunk);
    if (at >= width) continue;
    row[chunk] = load(x + at);
    if constexpr (kUpdate) {
      update[chunk] = load(row_of(p.y, batch, token) + at);
      gate[chunk] = load(vector_of(p.gate, batch) + at);
    }
  }

  float sum = 0;
#pragma unroll
  for (int chunk = 0; chunk < kChunks; ++chunk) {
    const int at = place(chunk);
    if (at >= width) continue;
    if constexpr (kUpdate) {
      row[chunk] = add(row[chunk], multiply(gate[chunk], update[chunk]));
      *reinterpret_cast<Bf16x8*>(x + at) = row[chunk];
    }
    float values[kLane];
    row[chunk].unpack(values);
#pragma unroll
    for (int i = 0; i < kLane; ++i) sum += values[i];
  }
  if (p.out.data == nullptr) return;

  // On their way while the sums are made.
  Bf16x8 shift[kChunks];
  Bf16x8 scale[kChunks];
#pragma unroll
  for (int chunk = 0; chunk < kChunks; ++chunk) {
    const int at = place(chunk);
    if (at >= width) continue;
    shift[chunk] = load(vector_of(p.shift, batch) + at);
    scale[chunk] = load(vector_of(p.scale, batch) + at);
  }

  const float mean = block_sum(sum, mean_parts) / static_cast<float>(width);
  float squares = 0;
#pragma unroll
  for (int chunk = 0; chunk < kChunks; ++chunk) {
    if (place(chunk) >= width) continue;
    float values[kLane];
    row[chunk].unpack(values);
#pragma unroll
    for (int i = 0; i < kLane; ++i) {
      const float centred = values[i] - mean;
      squares += centred * centred;
    }
  }
  const float variance = block_sum(squares, square_parts) / static_cast<float>(width);
  const float inverse = 1.0F / sqrtf(variance + static_cast<float>(p.epsilon));

  const std::int64_t out_at = batch * p.out.batch_stride + token * p.out.row_stride;
#pragma unroll
  for (int chunk = 0; chunk < kChunks; ++chunk) {
    const int at = place(chunk);
    if (at >= width) continue;
    float values[kLane];
    row[chunk].unpack(values);
#pragma unroll
    for (int i = 0; i < kLane; ++i) values[i] = (values[i] - mean) * inverse;
    Bf16x8 normal;
    normal.pack(values);
    const Bf16x8 out = add(multiply(normal, add_one(scale[chunk])), shift[chunk]);
    if (p.e4m3) {
      out.unpack(values);
      store8_e4m3(static_cast<std::uint8_t*>(p.out.data) + out_at + at, values, p.inverse_scale);
    } else {
      *reinterpret_cast<Bf16x8*>(static_cast<__nv_bfloat16*>(p.out.data) + out_at + at) = out;
    }
  }
}

/// Rows of a batch and pictures, at most 65535 of these a launch.
template <int kChunks>
void launch(const NormModulateProblem& problem, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(problem.tokens), static_cast<unsigned>(problem.batch));
  if (problem.y.data != nullptr) {
    norm_modulate<kChunks, true><<<grid, kThreads, 0, stream>>>(problem);
  } else {
    norm_modulate<kChunks, false><<<grid, kThreads, 0, stream>>>(problem);
  }
}

}  // namespace

void launch_norm_modulate(const NormModulateProblem& problem, cudaStream_t stream) {
  if (problem.batch * problem.tokens == 0) return;
  constexpr std::int64_t kPerChunk = kThreads * kLane;
  switch ((problem.width + kPerChunk - 1) / kPerChunk) {
    case 1:
      launch<1>(problem, stream);
      break;
    case 2:
      launch<2>(problem, stream);
      break;
    case 3:
      launch<3>(problem, stream);
      break;
    case 4:
      launch<4>(problem, stream);
      break;
    case 5:
      launch<5>(problem, stream);
      break;
    case 6:
      launch<6>(problem, stream);
      break;
    default:
      launch<8>(problem, stream);
      break;
  }
  cuda_check(cudaGetLastError(), "norm_modulate");
}

}  // namespace ditq
