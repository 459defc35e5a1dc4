// softmax(q k^T) v of bf16 heads of 128 channels on Hopper's asynchronous matrix units.
// A block works through tiles of up to 192 queries of one head: three warpgroups of 64 queries share every block of 128
// keys and values, which a fourth one brings in by TMA. While one warpgroup is at its softmax, the matrix units work for
// the others. What the grid's last round leaves over is cut into smaller tiles.
// Sources: Dao et al., FlashAttention-3 (2024), for the division of labour; PTX ISA 9.0, wgmma and its shared-memory
// layouts (128-byte swizzle).

#include <cmath>
#include <cstdint>
#include <string>

#include <cuda.h>
#include <cuda_runtime.h>

#include "base/error.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/vector.cuh"

namespace ditq {
namespace {

constexpr int kHeadDim = 128;
constexpr int kGroups = 3;      ///< warpgroups with queries
constexpr int kGroupRows = 64;  ///< queries of one
constexpr int kKeys = 128;      ///< keys and values of a block
constexpr int kStages = 2;      ///< blocks on their way or in use
constexpr int kWarpgroup = 128;
constexpr int kThreads = kWarpgroup * (kGroups + 1);

/// 64 channels of a row: what one swizzled line of shared memory holds. Every operand lies there in two panels.
constexpr int kPanel = 64;
constexpr int kPanels = kHeadDim / kPanel;
constexpr int kRowBytes = kPanel * 2;
constexpr int kQueryPanelBytes = kGroupRows * kRowBytes;
constexpr int kQueryBytes = kPanels * kQueryPanelBytes;
constexpr int kKeyPanelBytes = kKeys * kRowBytes;
constexpr int kKeyBytes = kPanels * kKeyPanelBytes;
/// Eight swizzled lines: the unit in which the matrix units step through rows.
constexpr int kAtomBytes = 8 * kRowBytes;

/// A slot of shared memory that TMA fills and warpgroups empty.
struct Slot {
  std::uint64_t full, empty;
};

struct Shared {
  std::uint8_t queries[kGroups][kQueryBytes];
  std::uint8_t keys[kStages][kKeyBytes];
  std::uint8_t values[kStages][kKeyBytes];
  Slot query_slots[kGroups];
  Slot key_slots[kStages];
  Slot value_slots[kStages];
};
/// Swizzled panels begin at multiples of their pattern.
constexpr int kAlignment = kAtomBytes;
constexpr int kSharedBytes = sizeof(Shared) + kAlignment;

/// The tiles of a launch: `whole` ones of three groups of rows, head by head, then smaller ones of `part` groups.
struct Schedule {
  int groups_per_head;  ///< of 64 rows
  int tiles_per_head;   ///< of three groups
  int whole;
  int part;
  int tiles;

  /// Tiles of `part` groups in what a head has left from group `first` on.
  __host__ __device__ int parts_after(int first) const {
    return (groups_per_head - first + part - 1) / part;
  }
};

struct Tile {
  int head;   ///< of all pictures'
  int row;    ///< the first
  int count;  ///< groups of rows
};

struct Arguments {
  int queries, keys;
  int heads;
  Schedule schedule;
  float scale_log2;  ///< of the scores, times log2(e)
  void* out;
  std::int64_t out_batch_stride, out_row_stride;
  int text_tokens;
  float text_inverse, image_inverse;  ///< of codes
};

// Code for other architectures has an empty kernel, which nobody launches.
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define DITQ_SM90
#endif

#ifdef DITQ_SM90

/// Channels, or keys, of one instruction.
constexpr int kDepth = 16;

__device__ Tile tile_at(const Schedule& s, int index) {
  int head;
  int group;
  int size = kGroups;
  if (index < s.whole) {
    head = index / s.tiles_per_head;
    group = index % s.tiles_per_head * kGroups;
  } else {
    head = s.whole / s.tiles_per_head;
    group = s.whole % s.tiles_per_head * kGroups;
    size = s.part;
    index -= s.whole;
    const int first = s.parts_after(group);
    if (index < first) {
      group += index * size;
    } else {
      index -= first;
      const int each = s.parts_after(0);
      head += 1 + index / each;
      group = index % each * size;
    }
  }
  return {head, group * kGroupRows, min(size, s.groups_per_head - group)};
}

__device__ std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

__device__ void init_barrier(std::uint64_t& barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(&barrier)),
               "r"(arrivals));
}
__device__ void arrive(std::uint64_t& barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(&barrier))
               : "memory");
}
__device__ void expect_bytes(std::uint64_t& barrier, int bytes) {
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(&barrier)),
      "r"(bytes)
      : "memory");
}
/// Until the phase of this parity is over.
__device__ void wait_for(std::uint64_t& barrier, std::uint32_t parity) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n"
      "}\n" ::"r"(shared_address(&barrier)),
      "r"(parity)
      : "memory");
}

/// 64 channels of `rows` tokens (the map's box) of one head of one picture. Tokens behind the last are zero.
__device__ void load_panel(const CUtensorMap& map,
                           void* to,
                           std::uint64_t& barrier,
                           int channel,
                           int head,
                           int token,
                           int batch) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%3, %4, %5, %6}], [%2];" ::"r"(shared_address(to)),
      "l"(&map), "r"(shared_address(&barrier)), "r"(channel), "r"(head), "r"(token), "r"(batch)
      : "memory");
}

/// The lower half of a swizzled operand's descriptor: its address, and the bytes between panels where the summed
/// dimension runs along rows. The upper half is the same for all.
__device__ std::uint32_t operand(const void* data, int panel_bytes = 16) {
  return static_cast<std::uint32_t>(panel_bytes >> 4) << 16 | (shared_address(data) & 0x3FFFF) >> 4;
}
__device__ std::uint64_t descriptor(std::uint32_t operand) {
  constexpr std::uint32_t kSwizzle128 = std::uint32_t{1} << 30;
  constexpr std::uint64_t kUpper = kSwizzle128 | kAtomBytes >> 4;
  return kUpper << 32 | operand;
}

__device__ void fence_products() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ void commit_products() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
__device__ void wait_for_products(float (&values)[64]) {
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
  // What the units wrote is not read before.
#pragma unroll
  for (float& value : values) asm volatile("" : "+f"(value)::"memory");
}

#define DITQ_8(x, i)                                                                          \
  "+f"(x[i]), "+f"(x[i + 1]), "+f"(x[i + 2]), "+f"(x[i + 3]), "+f"(x[i + 4]), "+f"(x[i + 5]), \
      "+f"(x[i + 6]), "+f"(x[i + 7])
#define DITQ_64(x)                                                                        \
  DITQ_8(x, 0), DITQ_8(x, 8), DITQ_8(x, 16), DITQ_8(x, 24), DITQ_8(x, 32), DITQ_8(x, 40), \
      DITQ_8(x, 48), DITQ_8(x, 56)
#define DITQ_D64                                                                     \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "          \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "

/// scores = or += 64 queries times 128 keys, 16 channels deep.
__device__ void multiply_qk(float (&scores)[64], std::uint32_t q, std::uint32_t k, int add) {
  asm volatile(
      "{\n.reg .pred add;\nsetp.ne.b32 add, %66, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 " DITQ_D64
      "%64, %65, add, 1, 1, 0, 0;\n}\n"
      : DITQ_64(scores)
      : "l"(descriptor(q)), "l"(descriptor(k)), "r"(add));
}

/// out = or += weights of 16 keys times their 128 channels of values.
__device__ void multiply_pv(float (&out)[64], const std::uint32_t* p, std::uint32_t v, int add) {
  asm volatile(
      "{\n.reg .pred add;\nsetp.ne.b32 add, %69, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 " DITQ_D64
      "{%64, %65, %66, %67}, %68, add, 1, 1, 1;\n}\n"
      : DITQ_64(out)
      : "r"(p[0]), "r"(p[1]), "r"(p[2]), "r"(p[3]), "l"(descriptor(v)), "r"(add));
}

#undef DITQ_8
#undef DITQ_64
#undef DITQ_D64

__device__ float exp2_fast(float x) {
  float out;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(out) : "f"(x));
  return out;
}

__device__ std::uint32_t packed(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const std::uint32_t*>(&pair);
}

/// Largest, or sum, over the four threads that hold a row.
__device__ float quad_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFFU, x, 1));
  return fmaxf(x, __shfl_xor_sync(0xFFFFFFFFU, x, 2));
}
__device__ float quad_sum(float x) {
  x += __shfl_xor_sync(0xFFFFFFFFU, x, 1);
  return x + __shfl_xor_sync(0xFFFFFFFFU, x, 2);
}

/// Four threads hold four words each; thread i receives word i of all.
__device__ void quad_transpose(std::uint32_t (&w)[4]) {
  const int lane = static_cast<int>(threadIdx.x) & 3;
  const bool odd = (lane & 1) != 0;
  const std::uint32_t a = __shfl_xor_sync(0xFFFFFFFFU, odd ? w[0] : w[1], 1);
  const std::uint32_t b = __shfl_xor_sync(0xFFFFFFFFU, odd ? w[2] : w[3], 1);
  if (odd) {
    w[0] = a;
    w[2] = b;
  } else {
    w[1] = a;
    w[3] = b;
  }
  const bool high = (lane & 2) != 0;
  const std::uint32_t c = __shfl_xor_sync(0xFFFFFFFFU, high ? w[0] : w[2], 2);
  const std::uint32_t d = __shfl_xor_sync(0xFFFFFFFFU, high ? w[1] : w[3], 2);
  if (high) {
    w[0] = c;
    w[1] = d;
  } else {
    w[2] = c;
    w[3] = d;
  }
}

/// What a thread knows of its two rows, 8 apart: scores[4 i + 2 r + j] is row r, column 8 i + 2 (lane % 4) + j.
struct RowState {
  float most[2];  ///< what the weights' exponents are relative to
  float sum[2];   ///< of this thread's weights

  /// Scores become weights; `out` and the sums follow when the largest score moves by so much that weights could
  /// grow beyond 2^8. Until then an older maximum serves as well: weights keep their relative precision.
  __device__ void weigh(float (&scores)[64], float (&out)[64], float scale) {
    constexpr float kLargestGrowth = 8.0F;
    float highest[2] = {most[0], most[1]};
#pragma unroll
    for (int i = 0; i < 64; i += 4) {
      highest[0] = fmaxf(highest[0], fmaxf(scores[i], scores[i + 1]));
      highest[1] = fmaxf(highest[1], fmaxf(scores[i + 2], scores[i + 3]));
    }
    highest[0] = quad_max(highest[0]);
    highest[1] = quad_max(highest[1]);
    const bool moves = (highest[0] - most[0]) * scale > kLargestGrowth ||
                       (highest[1] - most[1]) * scale > kLargestGrowth;
    if (__any_sync(0xFFFFFFFFU, moves)) {
#pragma unroll
      for (int row = 0; row < 2; ++row) {
        const float factor = exp2_fast((most[row] - highest[row]) * scale);
        most[row] = highest[row];
        sum[row] *= factor;
#pragma unroll
        for (int i = 0; i < 64; i += 4) {
          out[i + 2 * row] *= factor;
          out[i + 2 * row + 1] *= factor;
        }
      }
    }
    const float base[2] = {most[0] * scale, most[1] * scale};
    float sums[4] = {0, 0, 0, 0};
#pragma unroll
    for (int i = 0; i < 64; ++i) {
      scores[i] = exp2_fast(fmaf(scores[i], scale, -base[i / 2 % 2]));
      sums[i % 4] += scores[i];
    }
    sum[0] += sums[0] + sums[1];
    sum[1] += sums[2] + sums[3];
  }
};

/// Keys behind the last get no weight.
__device__ void mask(float (&scores)[64], int valid) {
  const int column = 2 * (static_cast<int>(threadIdx.x) & 3);
#pragma unroll
  for (int i = 0; i < 64; ++i) {
    if (column + i / 4 * 8 + i % 2 >= valid) scores[i] = -INFINITY;
  }
}

/// One row of 128 channels, 32 of each of its four threads: 16 contiguous bytes at a time.
template <bool kCodes>
__device__ void store_row(const float (&out)[64],
                          int which,
                          float factor,
                          const Arguments& a,
                          int batch,
                          int head,
                          int token) {
  const int lane = static_cast<int>(threadIdx.x) & 3;
  const std::int64_t at = batch * a.out_batch_stride + token * a.out_row_stride + head * kHeadDim;
  const float inverse = token < a.text_tokens ? a.text_inverse : a.image_inverse;
  constexpr int kPerWord = kCodes ? 4 : 2;
#pragma unroll
  for (int part = 0; part < kHeadDim / (16 * kPerWord); ++part) {
    std::uint32_t words[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if constexpr (kCodes) {
        words[i] = 0;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const int block = part * 8 + 2 * i + half;
          const float2 pair =
              make_float2(rounded(out[4 * block + 2 * which] * factor) * inverse,
                          rounded(out[4 * block + 2 * which + 1] * factor) * inverse);
          words[i] |=
              static_cast<std::uint32_t>(__nv_cvt_float2_to_fp8x2(pair, __NV_SATFINITE, __NV_E4M3))
              << (16 * half);
        }
      } else {
        const int block = part * 4 + i;
        words[i] =
            packed(out[4 * block + 2 * which] * factor, out[4 * block + 2 * which + 1] * factor);
      }
    }
    quad_transpose(words);
    if constexpr (kCodes) {
      const std::uint32_t mixed[4] = {
          __byte_perm(words[0], words[1], 0x5410), __byte_perm(words[2], words[3], 0x5410),
          __byte_perm(words[0], words[1], 0x7632), __byte_perm(words[2], words[3], 0x7632)};
#pragma unroll
      for (int i = 0; i < 4; ++i) words[i] = mixed[i];
    }
    if (token >= a.queries) continue;
    const std::int64_t bytes = (at + part * 16 * kPerWord) * (kCodes ? 1 : 2) + lane * 16;
    *reinterpret_cast<uint4*>(static_cast<std::uint8_t*>(a.out) + bytes) =
        make_uint4(words[0], words[1], words[2], words[3]);
  }
}

/// The warpgroups take turns at giving the matrix units their scores' product, so that they do not all come to their
/// softmax at once.
__device__ void wait_for_turn(int group) {
  asm volatile("bar.sync %0, %1;" ::"r"(1 + group), "n"(2 * kWarpgroup) : "memory");
}
__device__ void give_turn(int group) {
  asm volatile("bar.arrive %0, %1;" ::"r"(1 + group), "n"(2 * kWarpgroup) : "memory");
}

/// Which slot comes next, and which of its phases.
struct Turn {
  int slot = 0;
  std::uint32_t parity = 0;

  __device__ void next() {
    slot = (slot + 1) % kStages;
    parity ^= static_cast<std::uint32_t>(slot == 0);
  }
};

__device__ void load_queries(const CUtensorMap& map, const Arguments& a, Shared& shared) {
  std::uint32_t parity[kGroups] = {};
  for (int index = blockIdx.x; index < a.schedule.tiles; index += gridDim.x) {
    const Tile tile = tile_at(a.schedule, index);
#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
      if (group >= tile.count) continue;
      Slot& slot = shared.query_slots[group];
      wait_for(slot.empty, parity[group] ^ 1);
      parity[group] ^= 1;
      expect_bytes(slot.full, kQueryBytes);
      for (int panel = 0; panel < kPanels; ++panel) {
        load_panel(map, shared.queries[group] + panel * kQueryPanelBytes, slot.full, panel * kPanel,
                   tile.head % a.heads, tile.row + group * kGroupRows, tile.head / a.heads);
      }
    }
  }
}

__device__ void load_block(const CUtensorMap& map,
                           std::uint8_t* to,
                           Slot& slot,
                           std::uint32_t parity,
                           int head,
                           int token,
                           int batch) {
  wait_for(slot.empty, parity ^ 1);
  expect_bytes(slot.full, kKeyBytes);
  for (int panel = 0; panel < kPanels; ++panel) {
    load_panel(map, to + panel * kKeyPanelBytes, slot.full, panel * kPanel, head, token, batch);
  }
}

__device__ void load_keys_and_values(const CUtensorMap& k,
                                     const CUtensorMap& v,
                                     const Arguments& a,
                                     Shared& shared) {
  Turn turn;
  for (int index = blockIdx.x; index < a.schedule.tiles; index += gridDim.x) {
    const Tile tile = tile_at(a.schedule, index);
    const int head = tile.head % a.heads;
    const int batch = tile.head / a.heads;
    for (int token = 0; token < a.keys; token += kKeys, turn.next()) {
      load_block(k, shared.keys[turn.slot], shared.key_slots[turn.slot], turn.parity, head, token,
                 batch);
      load_block(v, shared.values[turn.slot], shared.value_slots[turn.slot], turn.parity, head,
                 token, batch);
    }
  }
}

template <bool kCodes>
__device__ void attend(const Arguments& a, Shared& shared, int group) {
  const int warp = static_cast<int>(threadIdx.x) / 32 % 4;
  const bool leads = threadIdx.x % 32 == 0;
  const auto leave = [&](std::uint64_t& barrier) {
    if (leads) arrive(barrier);
  };
  const int next_group = (group + 1) % kGroups;
  if (group == kGroups - 1) give_turn(0);
  Turn turn;
  std::uint32_t query_parity = 0;
  const std::uint32_t q = operand(shared.queries[group]);
  for (int index = blockIdx.x; index < a.schedule.tiles; index += gridDim.x) {
    const Tile tile = tile_at(a.schedule, index);
    if (group >= tile.count) {
      // No rows for this warpgroup: it only keeps its place in the order.
      for (int token = 0; token < a.keys; token += kKeys, turn.next()) {
        wait_for(shared.key_slots[turn.slot].full, turn.parity);
        wait_for_turn(group);
        give_turn(next_group);
        leave(shared.key_slots[turn.slot].empty);
        wait_for(shared.value_slots[turn.slot].full, turn.parity);
        leave(shared.value_slots[turn.slot].empty);
      }
      continue;
    }
    float out[64];
#pragma unroll
    for (float& value : out) value = 0;
    RowState rows{{-INFINITY, -INFINITY}, {0, 0}};
    wait_for(shared.query_slots[group].full, query_parity);
    query_parity ^= 1;
    for (int token = 0; token < a.keys; token += kKeys, turn.next()) {
      float scores[64];
      const std::uint32_t k = operand(shared.keys[turn.slot]);
      wait_for(shared.key_slots[turn.slot].full, turn.parity);
      wait_for_turn(group);
      fence_products();
#pragma unroll
      for (int step = 0; step < kHeadDim / kDepth; ++step) {
        // In units of 16 bytes.
        const int inside = step % 4 * (kDepth * 2 >> 4);
        const int panel = step / 4;
        multiply_qk(scores, q + inside + panel * (kQueryPanelBytes >> 4),
                    k + inside + panel * (kKeyPanelBytes >> 4), step != 0);
      }
      commit_products();
      give_turn(next_group);
      wait_for_products(scores);
      leave(shared.key_slots[turn.slot].empty);
      const bool last = token + kKeys >= a.keys;
      if (last) {
        leave(shared.query_slots[group].empty);
        if (token + kKeys > a.keys) mask(scores, a.keys - token);
      }
      rows.weigh(scores, out, a.scale_log2);
      std::uint32_t weights[32];
#pragma unroll
      for (int i = 0; i < 32; ++i) weights[i] = packed(scores[2 * i], scores[2 * i + 1]);

      const std::uint32_t v = operand(shared.values[turn.slot], kKeyPanelBytes);
      wait_for(shared.value_slots[turn.slot].full, turn.parity);
      fence_products();
#pragma unroll
      for (int step = 0; step < kKeys / kDepth; ++step) {
        multiply_pv(out, weights + 4 * step, v + step * (kDepth * kRowBytes >> 4), 1);
      }
      commit_products();
      wait_for_products(out);
      leave(shared.value_slots[turn.slot].empty);
    }
    const int row =
        tile.row + group * kGroupRows + warp * 16 + static_cast<int>(threadIdx.x) % 32 / 4;
#pragma unroll
    for (int which = 0; which < 2; ++which) {
      const float factor = 1.0F / quad_sum(rows.sum[which]);
      store_row<kCodes>(out, which, factor, a, tile.head / a.heads, tile.head % a.heads,
                        row + 8 * which);
    }
  }
}

#endif  // DITQ_SM90

template <bool kCodes>
__global__ void __launch_bounds__(kThreads, 1) attention(const __grid_constant__ CUtensorMap q,
                                                         const __grid_constant__ CUtensorMap k,
                                                         const __grid_constant__ CUtensorMap v,
                                                         const __grid_constant__ Arguments a) {
#ifdef DITQ_SM90
  extern __shared__ std::uint8_t memory[];
  const std::uint32_t start = shared_address(memory);
  Shared& shared = *reinterpret_cast<Shared*>(
      memory + ((start + kAlignment - 1) / kAlignment * kAlignment - start));
  const int warpgroup = __shfl_sync(0xFFFFFFFFU, static_cast<int>(threadIdx.x) / kWarpgroup, 0);
  if (threadIdx.x == 0) {
    constexpr int kWarps = 4;
    for (Slot& slot : shared.query_slots) {
      init_barrier(slot.full, 1);
      init_barrier(slot.empty, kWarps);
    }
    for (Slot* slots : {shared.key_slots, shared.value_slots}) {
      for (int i = 0; i < kStages; ++i) {
        init_barrier(slots[i].full, 1);
        init_barrier(slots[i].empty, kWarps * kGroups);
      }
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  // Registers move from the warpgroup that only loads to those that compute.
  if (warpgroup == kGroups) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 32;");
    const int warp = static_cast<int>(threadIdx.x) / 32 % 4;
    if (threadIdx.x % 32 != 0) return;
    if (warp == 0) load_keys_and_values(k, v, a, shared);
    if (warp == 1) load_queries(q, a, shared);
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 160;");
    attend<kCodes>(a, shared, warpgroup);
  }
#endif
}

/// The rounds of a grid of `blocks`: whole tiles while there is one for each block, then the smallest tiles of which
/// one round is enough.
Schedule make_schedule(int queries, int heads, int blocks) {
  Schedule s{};
  s.groups_per_head = (queries + kGroupRows - 1) / kGroupRows;
  s.tiles_per_head = (s.groups_per_head + kGroups - 1) / kGroups;
  const int all = heads * s.tiles_per_head;
  s.whole = all / blocks * blocks;
  const int head = s.whole / s.tiles_per_head;
  const int group = s.whole % s.tiles_per_head * kGroups;
  for (s.part = 1; s.part <= kGroups; ++s.part) {
    const int parts =
        head == heads ? 0 : s.parts_after(group) + (heads - head - 1) * s.parts_after(0);
    s.tiles = s.whole + parts;
    if (parts <= blocks) break;
  }
  return s;
}

/// [B, tokens, Nh, 128] in boxes of 64 channels of `rows` tokens, swizzled; nothing is read behind the last token.
CUtensorMap tensor_map(const AttentionProblem& p,
                       const TokenView& view,
                       std::int64_t tokens,
                       std::uint32_t rows) {
  static const auto encode = [] {
    void* found = nullptr;
    cudaDriverEntryPointQueryResult result{};
    constexpr unsigned kSince = 12000;
    cuda_check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, kSince,
                                                cudaEnableDefault, &result),
               "cudaGetDriverEntryPointByVersion");
    return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(found);
  }();
  constexpr cuuint32_t kRank = 4;
  const auto count = [](std::int64_t value) { return static_cast<cuuint64_t>(value); };
  const cuuint64_t extents[kRank] = {kHeadDim, count(p.heads), count(tokens), count(p.batch)};
  const cuuint64_t strides[kRank - 1] = {kHeadDim * 2, count(view.row_stride * 2),
                                         count(view.batch_stride * 2)};
  const cuuint32_t box[kRank] = {kPanel, 1, rows, 1};
  const cuuint32_t steps[kRank] = {1, 1, 1, 1};
  CUtensorMap map{};
  const CUresult result =
      encode(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, kRank, view.data, extents, strides, box, steps,
             CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
             CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) {
    throw Error(ErrorCode::device, "cuTensorMapEncodeTiled failed",
                {.found = "CUDA driver error " + std::to_string(static_cast<int>(result))});
  }
  return map;
}

template <bool kCodes>
void launch(const AttentionProblem& p, int multiprocessors, cudaStream_t stream) {
  const auto small = [](std::int64_t value) { return static_cast<int>(value); };
  const int heads = small(p.batch * p.heads);
  constexpr double kLog2E = 1.4426950408889634;
  const Arguments a{.queries = small(p.queries),
                    .keys = small(p.keys),
                    .heads = small(p.heads),
                    .schedule = make_schedule(small(p.queries), heads, multiprocessors),
                    .scale_log2 = static_cast<float>(p.scale * kLog2E),
                    .out = p.out.data,
                    .out_batch_stride = p.out.batch_stride,
                    .out_row_stride = p.out.row_stride,
                    .text_tokens = small(p.text_tokens),
                    .text_inverse = p.text_inverse,
                    .image_inverse = p.image_inverse};
  // Once for each device would do; it costs less than asking.
  cuda_check(cudaFuncSetAttribute(attention<kCodes>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  kSharedBytes),
             "cudaFuncSetAttribute");
  const int blocks = a.schedule.tiles < multiprocessors ? a.schedule.tiles : multiprocessors;
  attention<kCodes><<<blocks, kThreads, kSharedBytes, stream>>>(
      tensor_map(p, p.q, p.queries, kGroupRows), tensor_map(p, p.k, p.keys, kKeys),
      tensor_map(p, p.v, p.keys, kKeys), a);
  cuda_check(cudaGetLastError(), "attention");
}

}  // namespace

std::string why_no_attention(const AttentionProblem& p, const CudaDeviceInfo& device) {
  if (device.major != 9 || device.minor != 0) return "the kernel needs compute capability 9.0";
  if (p.head_dim != kHeadDim) return "the kernel takes heads of 128 channels";
  constexpr std::int64_t kMost = std::int64_t{1} << 30;
  if (p.keys == 0) return "the kernel needs a key";
  if (std::max(p.queries, p.keys) > kMost ||
      p.batch * p.heads > kMost / (p.queries / kGroupRows + 1)) {
    return "the kernel counts tiles in 32 bits";
  }
  constexpr std::uintptr_t kBytes = 16;  // of an access, and of TMA's strides
  const auto fits = [](const TokenView& view, std::int64_t size) {
    const auto strides = static_cast<std::uintptr_t>((view.batch_stride | view.row_stride) * size);
    return (strides | reinterpret_cast<std::uintptr_t>(view.data)) % kBytes == 0;
  };
  if (fits(p.q, 2) && fits(p.k, 2) && fits(p.v, 2) && fits(p.out, p.e4m3 ? 1 : 2)) return {};
  return "the kernel needs addresses and strides of multiples of 16 bytes";
}

void launch_attention(const AttentionProblem& problem, int multiprocessors, cudaStream_t stream) {
  if (problem.batch * problem.queries * problem.heads == 0) return;
  if (problem.e4m3) {
    launch<true>(problem, multiprocessors, stream);
  } else {
    launch<false>(problem, multiprocessors, stream);
  }
}

}  // namespace ditq
