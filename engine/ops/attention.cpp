#include "ops/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/native/CPUBlas.h>
#include <ATen/ops/_scaled_dot_product_cudnn_attention.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/zeros.h>

#include "kernels/cuda_device.h"
#include "ops/exp.h"
#include "ops/gemm.h"
#include "ops/vector.h"

namespace ditq {
namespace {

/// Queries that a task takes, and columns of a packed panel. A task's scores are kBlock rows of f32 over all keys:
/// 1.2 MB at 4608 tokens, which stays in the L2 cache; an online softmax would only pay off far beyond that.
constexpr std::int64_t kBlock = 64;

std::int64_t round_up(std::int64_t value, std::int64_t step) {
  return (value + step - 1) / step * step;
}

/// Below this many queries torch's own kernel is as fast, and pictures stay closest to diffusers' on the same CPU.
constexpr std::int64_t kLeastQueries = 512;

bool can_run_panels(const Tensor& q,
                    const Tensor& k,
                    const Tensor& v,
                    const AttentionOptions& options) {
  return q.is_cpu() && gemm_support().panels && q.scalar_type() == at::kBFloat16 &&
         !options.bias.defined() && !options.causal && q.size(2) >= kLeastQueries &&
         q.size(3) % 2 == 0 && k.size(2) > 0 && q.stride(3) == 1 && k.stride(3) == 1 &&
         v.stride(3) == 1;
}

/// Keys and values of one head as right-hand sides: keys transposed in panels of kBlock keys, values in panels of kBlock
/// channels; pairs along the summed dimension lie together. Padding is zero.
struct PackedHeads {
  std::int64_t keys, padded_keys, channels, padded_channels;
  Tensor k;  ///< [B * Nh, padded_keys / 64, Dh / 2, 64, 2]
  Tensor v;  ///< [B * Nh, padded_channels / 64, padded_keys / 2, 64, 2]

  PackedHeads(const Tensor& key, const Tensor& value)
      : keys(key.size(2)),
        padded_keys(round_up(keys, kBlock)),
        channels(key.size(3)),
        padded_channels(round_up(channels, kBlock)),
        k(at::zeros({key.size(0) * key.size(1), padded_keys, channels}, at::kBFloat16)),
        v(at::zeros({key.size(0) * key.size(1), padded_channels, padded_keys}, at::kBFloat16)) {
    const std::int64_t heads = key.size(1);
    at::parallel_for(0, key.size(0) * heads, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        pack_keys(key[i / heads][i % heads], k[i]);
        pack_values(value[i / heads][i % heads], v[i]);
      }
    });
  }

  static void pack_keys(const Tensor& from, const Tensor& to) {
    const std::int64_t channels = from.size(1);
    const auto* source = reinterpret_cast<const std::uint32_t*>(from.const_data_ptr());
    auto* target = reinterpret_cast<std::uint32_t*>(to.mutable_data_ptr());
    for (std::int64_t key = 0; key < from.size(0); ++key) {
      // A pair of neighbouring channels is one 32-bit word on both sides.
      const auto* row = source + key * from.stride(0) / 2;
      auto* panel = target + key / kBlock * kBlock * channels / 2 + key % kBlock;
      for (std::int64_t pair = 0; pair < channels / 2; ++pair) panel[pair * kBlock] = row[pair];
    }
  }

  static void pack_values(const Tensor& from, const Tensor& to) {
    const std::int64_t padded = to.size(1);
    const auto* source = reinterpret_cast<const std::uint16_t*>(from.const_data_ptr());
    auto* target = reinterpret_cast<std::uint16_t*>(to.mutable_data_ptr());
    for (std::int64_t key = 0; key < from.size(0); ++key) {
      const auto* row = source + key * from.stride(0);
      for (std::int64_t channel = 0; channel < from.size(1); ++channel) {
        auto* panel = target + channel / kBlock * kBlock * padded;
        panel[key / 2 * kBlock * 2 + channel % kBlock * 2 + key % 2] = row[channel];
      }
    }
  }
};

/// One row of scores becomes bf16 weights exp(scale * (s - max)), zero behind the last key; returns their f32 sum.
DITQ_VECTOR_CLONES float softmax_row(const float* scores,
                                     float scale,
                                     std::int64_t keys,
                                     std::int64_t padded,
                                     BFloat16Bits* weights) {
  float highest[kLanes];
  std::fill(highest, highest + kLanes, -std::numeric_limits<float>::infinity());
  for_lanes(keys, [&](std::int64_t i, std::int64_t lane) {
    highest[lane] = highest[lane] < scores[i] ? scores[i] : highest[lane];
  });
  const float most = *std::max_element(highest, highest + kLanes) * scale;
  float sums[kLanes] = {};
  for_lanes(keys, [&](std::int64_t i, std::int64_t lane) {
    const float weight = coarse_exp(scores[i] * scale - most);
    sums[lane] += weight;
    store_rounded(weights + i, weight);
  });
  for (std::int64_t i = keys; i < padded; ++i) weights[i].bits = 0;
  return sum_lanes(sums);
}

DITQ_VECTOR_CLONES void store_scaled(const float* from,
                                     float factor,
                                     std::int64_t count,
                                     BFloat16Bits* to) {
  for (std::int64_t i = 0; i < count; ++i) store_rounded(to + i, from[i] * factor);
}

/// Buffers of one thread.
struct Scratch {
  std::vector<float> scores, mixed, sums;
  std::vector<BFloat16Bits> weights;

  explicit Scratch(const PackedHeads& packed)
      : scores(static_cast<std::size_t>(kBlock * packed.padded_keys)),
        mixed(static_cast<std::size_t>(kBlock * kBlock)),
        sums(static_cast<std::size_t>(kBlock)),
        weights(static_cast<std::size_t>(kBlock * packed.padded_keys)) {}
};

/// Queries [rows, Dh] of head `head` against all keys, into out [rows, Dh].
void attend_block(const Tensor& q,
                  const PackedHeads& packed,
                  std::int64_t head,
                  float scale,
                  Scratch& s,
                  const Tensor& out) {
  using at::native::cpublas::brgemm;
  const std::int64_t rows = q.size(0);
  const auto* queries = q.const_data_ptr<at::BFloat16>();
  const auto* keys = packed.k.const_data_ptr<at::BFloat16>() + head * packed.k.stride(0);
  const auto* values = packed.v.const_data_ptr<at::BFloat16>() + head * packed.v.stride(0);
  const auto* weights = reinterpret_cast<const at::BFloat16*>(s.weights.data());
  auto* target = reinterpret_cast<BFloat16Bits*>(out.mutable_data_ptr());

  for (std::int64_t key = 0; key < packed.padded_keys; key += kBlock) {
    brgemm(rows, kBlock, packed.channels, q.stride(0), kBlock, packed.padded_keys, /*add_C=*/false,
           queries, keys + key * packed.channels, s.scores.data() + key, /*is_vnni=*/true);
  }
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t begin = row * packed.padded_keys;
    s.sums[static_cast<std::size_t>(row)] = softmax_row(
        s.scores.data() + begin, scale, packed.keys, packed.padded_keys, s.weights.data() + begin);
  }
  for (std::int64_t channel = 0; channel < packed.padded_channels; channel += kBlock) {
    brgemm(rows, kBlock, packed.padded_keys, packed.padded_keys, kBlock, kBlock, /*add_C=*/false,
           weights, values + channel * packed.padded_keys, s.mixed.data(), /*is_vnni=*/true);
    const std::int64_t columns = std::min(kBlock, packed.channels - channel);
    for (std::int64_t row = 0; row < rows; ++row) {
      store_scaled(s.mixed.data() + row * kBlock, 1.0F / s.sums[static_cast<std::size_t>(row)],
                   columns, target + row * out.stride(0) + channel);
    }
  }
}

Tensor run_panels(const Tensor& q, const Tensor& k, const Tensor& v, float scale) {
  const std::int64_t heads = q.size(1);
  const std::int64_t length = q.size(2);
  const PackedHeads packed(k, v);
  const Tensor out = at::empty({q.size(0), length, heads, q.size(3)}, q.options()).transpose(1, 2);
  const std::int64_t blocks = (length + kBlock - 1) / kBlock;
  at::parallel_for(0, q.size(0) * heads * blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    Scratch scratch(packed);
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t head = i / blocks;
      const std::int64_t first = i % blocks * kBlock;
      const std::int64_t rows = std::min(kBlock, length - first);
      const auto part = [&](const Tensor& x) {
        return x[head / heads][head % heads].narrow(0, first, rows);
      };
      attend_block(part(q), packed, head, scale, scratch, part(out));
    }
    at::native::cpublas::brgemm_release();
  });
  return out;
}

/// cuDNN's kernels for Hopper and later are up to 1.8 times as fast as torch's flash attention there (docs/performance.md).
bool can_run_cudnn(const Tensor& q,
                   const Tensor& k,
                   const Tensor& v,
                   const AttentionOptions& options) {
  return options.cudnn && q.is_cuda() && q.scalar_type() == at::kBFloat16 &&
         why_no_cudnn(q.size(3)).empty() && !options.bias.defined() && q.stride(3) == 1 &&
         k.stride(3) == 1 && v.stride(3) == 1 && q.size(2) > 1 && k.size(2) > 1;
}

Tensor run_cudnn(const Tensor& q,
                 const Tensor& k,
                 const Tensor& v,
                 const AttentionOptions& options) {
  const std::optional<double> scale =
      options.scale == 0 ? std::nullopt : std::optional<double>(options.scale);
  return std::get<0>(at::_scaled_dot_product_cudnn_attention(
      q, k, v, std::nullopt, /*compute_log_sumexp=*/false, /*dropout_p=*/0.0, options.causal,
      /*return_debug_mask=*/false, scale));
}

}  // namespace

std::string why_no_cudnn(std::int64_t head_dim) {
  if (cuda().info().major < 9) return "it needs compute capability 9.0";
  if (head_dim % 8 != 0 || head_dim > 128) return "it takes heads of up to 128 channels, in eights";
  return {};
}

Tensor attention(const Tensor& q,
                 const Tensor& k,
                 const Tensor& v,
                 const AttentionOptions& options) {
  if (can_run_cudnn(q, k, v, options)) return run_cudnn(q, k, v, options);
  if (!can_run_panels(q, k, v, options)) return reference::attention(q, k, v, options);
  const double scale =
      options.scale == 0 ? 1.0 / std::sqrt(static_cast<double>(q.size(3))) : options.scale;
  return run_panels(q, k, v, static_cast<float>(scale));
}

namespace reference {

Tensor attention(const Tensor& q,
                 const Tensor& k,
                 const Tensor& v,
                 const AttentionOptions& options) {
  const std::optional<double> scale =
      options.scale == 0 ? std::nullopt : std::optional<double>(options.scale);
  const std::optional<Tensor> bias =
      options.bias.defined() ? std::optional<Tensor>(options.bias) : std::nullopt;
  return at::scaled_dot_product_attention(q, k, v, bias, 0.0, options.causal, scale);
}

}  // namespace reference
}  // namespace ditq
