// Gate, residual, LayerNorm, modulation and quantization, token by token: a block holds a row in registers.

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

/// Tokens and updates pass through: the L2 cache is left to the result, which the next product reads.
__device__ inline Bf16x8 load_once(const __nv_bfloat16* from) {
  const uint4 words = __ldcs(reinterpret_cast<const uint4*>(from));
  return *reinterpret_cast<const Bf16x8*>(&words);
}
__device__ inline void store_through(__nv_bfloat16* to, const Bf16x8& values) {
  __stcs(reinterpret_cast<uint4*>(to), *reinterpret_cast<const uint4*>(&values));
}

/// Where a thread's accesses lie in a row.
__device__ inline int place(int chunk) {
  return (chunk * kThreads + static_cast<int>(threadIdx.x)) * kLane;
}

/// What a thread holds of one row or vector: kChunks accesses of 8 values, those behind the end unused.
template <int kChunks>
struct Share {
  Bf16x8 chunks[kChunks];

  template <Bf16x8 (*kLoad)(const __nv_bfloat16*) = load>
  __device__ void load_from(const __nv_bfloat16* from, int width) {
#pragma unroll
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      if (place(chunk) < width) chunks[chunk] = kLoad(from + place(chunk));
    }
  }
  /// The sum of visit(value) over the share.
  template <typename Visit>
  __device__ float sum(int width, const Visit& visit) const {
    float out = 0;
#pragma unroll
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      if (place(chunk) >= width) continue;
      float values[kLane];
      chunks[chunk].unpack(values);
#pragma unroll
      for (int i = 0; i < kLane; ++i) out += visit(values[i]);
    }
    return out;
  }
};

/// A block takes every gridDim.x-th row of a picture: the vectors stay in registers, and the next row is on its way
/// while this one is worked on.
template <int kChunks, bool kUpdate>
__global__ void __launch_bounds__(kThreads) norm_modulate(const NormModulateProblem p) {
  __shared__ float mean_parts[kWarps];
  __shared__ float square_parts[kWarps];
  const std::int64_t batch = blockIdx.y;
  const auto width = static_cast<int>(p.width);
  const bool norm = p.out.data != nullptr;
  Share<kChunks> shift, scale, row;
  Share<kUpdate ? kChunks : 1> gate, update;
  const auto fetch = [&](std::int64_t token) {
    row.load_from(row_of(p.x, batch, token), width);
    if constexpr (kUpdate) update.template load_from<load_once>(row_of(p.y, batch, token), width);
  };
  fetch(blockIdx.x);
  if constexpr (kUpdate) gate.load_from(vector_of(p.gate, batch), width);
  if (norm) {
    shift.load_from(vector_of(p.shift, batch), width);
    scale.load_from(vector_of(p.scale, batch), width);
#pragma unroll
    for (Bf16x8& chunk : scale.chunks) chunk = add_one(chunk);
  }

  for (std::int64_t token = blockIdx.x; token < p.tokens; token += gridDim.x) {
    Share<kChunks> now = row;
    if constexpr (kUpdate) {
      auto* x = const_cast<__nv_bfloat16*>(row_of(p.x, batch, token));
#pragma unroll
      for (int chunk = 0; chunk < kChunks; ++chunk) {
        if (place(chunk) >= width) continue;
        now.chunks[chunk] =
            add(row.chunks[chunk], multiply(gate.chunks[chunk], update.chunks[chunk]));
        store_through(x + place(chunk), now.chunks[chunk]);
      }
    }
    if (token + gridDim.x < p.tokens) fetch(token + gridDim.x);
    if (!norm) continue;

    // Each sum's shared memory is free again once the other sum is known.
    const auto count = static_cast<float>(width);
    const float mean =
        block_sum(now.sum(width, [](float value) { return value; }), mean_parts) / count;
    const float variance = block_sum(now.sum(width,
                                             [mean](float value) {
                                               const float centred = value - mean;
                                               return centred * centred;
                                             }),
                                     square_parts) /
                           count;
    const float inverse = 1.0F / sqrtf(variance + static_cast<float>(p.epsilon));

    const std::int64_t out_at = batch * p.out.batch_stride + token * p.out.row_stride;
#pragma unroll
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      const int at = place(chunk);
      if (at >= width) continue;
      float values[kLane];
      now.chunks[chunk].unpack(values);
#pragma unroll
      for (int i = 0; i < kLane; ++i) values[i] = (values[i] - mean) * inverse;
      Bf16x8 normal;
      normal.pack(values);
      const Bf16x8 out = add(multiply(normal, scale.chunks[chunk]), shift.chunks[chunk]);
      if (p.e4m3) {
        out.unpack(values);
        store8_e4m3(static_cast<std::uint8_t*>(p.out.data) + out_at + at, values, p.inverse_scale);
      } else {
        *reinterpret_cast<Bf16x8*>(static_cast<__nv_bfloat16*>(p.out.data) + out_at + at) = out;
      }
    }
  }
}

/// Blocks that run at the same time on the current device.
template <int kChunks, bool kUpdate>
std::int64_t resident_blocks() {
  static const std::int64_t blocks = [] {
    int device = 0;
    int per_multiprocessor = 0;
    int multiprocessors = 0;
    cuda_check(cudaGetDevice(&device), "cudaGetDevice");
    cuda_check(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device),
               "cudaDeviceGetAttribute");
    cuda_check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(
                   &per_multiprocessor, norm_modulate<kChunks, kUpdate>, kThreads, 0),
               "cudaOccupancyMaxActiveBlocksPerMultiprocessor");
    return static_cast<std::int64_t>(per_multiprocessor) * multiprocessors;
  }();
  return blocks;
}

/// Blocks that all begin at once and take equally many rows, or one less.
template <int kChunks, bool kUpdate>
void launch_even(const NormModulateProblem& problem, cudaStream_t stream) {
  const std::int64_t resident = resident_blocks<kChunks, kUpdate>();
  const std::int64_t rows = (problem.tokens * problem.batch + resident - 1) / resident;
  const dim3 grid(static_cast<unsigned>((problem.tokens + rows - 1) / rows),
                  static_cast<unsigned>(problem.batch));
  norm_modulate<kChunks, kUpdate><<<grid, kThreads, 0, stream>>>(problem);
}

/// Rows of a batch and pictures, at most 65535 of these a launch.
template <int kChunks>
void launch(const NormModulateProblem& problem, cudaStream_t stream) {
  if (problem.y.data != nullptr) {
    launch_even<kChunks, true>(problem, stream);
  } else {
    launch_even<kChunks, false>(problem, stream);
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
