#include "ops/gemm.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/native/CPUBlas.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/zeros.h>

#include "base/error.h"
#include "ops/exp.h"
#include "ops/nvfp4.h"
#include "ops/vector.h"

namespace ditq {
namespace {

/// Columns of a panel and rows of a tile: the f32 tile (16 KiB) and the panel's working set stay in the L1 and L2
/// caches. 16 to 128 rows were measured; 64 was best or equal at every size of FLUX.1.
constexpr std::int64_t kPanel = kGemmPanel;
constexpr std::int64_t kTile = 64;

std::int64_t round_up(std::int64_t value, std::int64_t step) {
  return (value + step - 1) / step * step;
}

/// Panels of kPanel output features; inside, pairs of input features lie together: [N / 64, K / 2, 64, 2].
Tensor pack_panels(const Tensor& weight, std::int64_t n, std::int64_t k) {
  const std::int64_t padded_k = round_up(k, 2);
  Tensor packed = at::zeros({round_up(n, kPanel) / kPanel, padded_k / 2, kPanel, 2}, at::kBFloat16);
  const auto* source = weight.const_data_ptr<at::BFloat16>();
  auto* target = packed.mutable_data_ptr<at::BFloat16>();
  at::parallel_for(0, n, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      auto* panel = target + row / kPanel * kPanel * padded_k + row % kPanel * 2;
      const auto* values = source + row * k;
      for (std::int64_t column = 0; column < k; ++column) {
        panel[column / 2 * kPanel * 2 + column % 2] = values[column];
      }
    }
  });
  return packed;
}

/// One tile of accumulators and where it goes.
template <typename Out>
struct Tile {
  const float* sums;
  std::int64_t rows, columns;
  const float* bias;          ///< joins the sum before it is rounded
  const float* rounded_bias;  ///< is added to the rounded sum
  float weight_scale, input_scale;
  const float* channel_scales;  ///< in the place of weight_scale, or null
  const float* row_scales;      ///< in the place of input_scale; there where channel_scales are
  Out* out;
  std::int64_t out_stride;

  template <bool kVectors>
  float value(std::int64_t m, std::int64_t n) const {
    const float of_weight = kVectors ? channel_scales[n] : weight_scale;
    const float of_input = kVectors ? row_scales[m] : input_scale;
    const float sum = __builtin_fmaf(sums[m * kPanel + n] * of_weight, of_input,
                                     bias == nullptr ? 0.0F : bias[n]);
    return rounded_bias == nullptr ? sum : rounded<Out>(sum) + rounded_bias[n];
  }
};

template <bool kVectors, typename Out>
DITQ_VECTOR_CLONES void store_tile(const Tile<Out>& tile) {
  const Tile<Out> t = tile;
  for (std::int64_t m = 0; m < t.rows; ++m) {
    for (std::int64_t n = 0; n < t.columns; ++n) {
      store_rounded(t.out + m * t.out_stride + n, t.template value<kVectors>(m, n));
    }
  }
}

/// x * sigmoid(2 u) with u = sqrt(2 / pi) (x + 0.044715 x^3), which is 0.5 x (1 + tanh(u)).
inline float gelu_tanh_value(float x) {
  constexpr float kFactor = -2.0F * 0.7978845608F;
  const float exponent = kFactor * (x + 0.044715F * x * x * x);
  return x / (1.0F + fast_exp(exponent > 87.0F ? 87.0F : exponent));
}

template <bool kVectors, typename Out>
DITQ_VECTOR_CLONES void store_gelu_tile(const Tile<Out>& tile) {
  const Tile<Out> t = tile;
  for (std::int64_t m = 0; m < t.rows; ++m) {
    for (std::int64_t n = 0; n < t.columns; ++n) {
      store_rounded(t.out + m * t.out_stride + n,
                    gelu_tanh_value(rounded<Out>(t.template value<kVectors>(m, n))));
    }
  }
}

template <bool kVectors, typename Out>
void store(const Tile<Out>& tile, PostOp post_op) {
  if (post_op == PostOp::gelu_tanh) {
    store_gelu_tile<kVectors>(tile);
  } else {
    store_tile<kVectors>(tile);
  }
}

/// A weight whose panels lie ready.
class ReadyPanels {
 public:
  explicit ReadyPanels(const PackedWeight& weight)
      : data_(weight.data().const_data_ptr<at::BFloat16>()),
        panel_size_(weight.in_features() * kPanel) {}
  const at::BFloat16* panel(std::int64_t index) { return data_ + index * panel_size_; }

 private:
  const at::BFloat16* data_;
  std::int64_t panel_size_;
};

/// A weight whose panels are expanded when their turn comes; one thread's view of it.
class ExpandedPanels {
 public:
  explicit ExpandedPanels(const Nvfp4Weight& weight)
      : weight_(weight), panel_(static_cast<std::size_t>(weight.in_features() * kPanel)) {}
  const at::BFloat16* panel(std::int64_t index) {
    if (index != current_) weight_.expand(index, panel_.data());
    current_ = index;
    return reinterpret_cast<const at::BFloat16*>(panel_.data());
  }

 private:
  const Nvfp4Weight& weight_;
  std::vector<BFloat16Panel> panel_;
  std::int64_t current_ = -1;
};

template <typename Panels, typename Out, typename Weight>
void run_panels(const Tensor& x,
                const Weight& weight,
                const GemmEpilogue& epilogue,
                const Tensor& out) {
  const std::int64_t m_count = x.size(0);
  const std::int64_t k = weight.in_features();
  const std::int64_t n_count = weight.out_features();
  const auto* activations = x.const_data_ptr<at::BFloat16>();
  const float* bias = epilogue.bias.defined() ? epilogue.bias.const_data_ptr<float>() : nullptr;
  const bool after = epilogue.bias_after_rounding;
  const bool vectors = epilogue.channel_scales.defined();
  DITQ_ASSERT(vectors == epilogue.row_scales.defined());
  const float* channels = vectors ? epilogue.channel_scales.const_data_ptr<float>() : nullptr;
  const float* scales = vectors ? epilogue.row_scales.const_data_ptr<float>() : nullptr;
  auto* target = reinterpret_cast<Out*>(out.mutable_data_ptr());
  const std::int64_t m_tiles = (m_count + kTile - 1) / kTile;
  const std::int64_t n_tiles = (n_count + kPanel - 1) / kPanel;

  at::parallel_for(0, m_tiles * n_tiles, 1, [&](std::int64_t begin, std::int64_t end) {
    alignas(64) std::array<float, kTile * kPanel> tile;
    Panels panels(weight);
    for (std::int64_t index = begin; index < end; ++index) {
      // Neighbouring tasks share a panel of the weight.
      const std::int64_t m = index % m_tiles * kTile;
      const std::int64_t n = index / m_tiles * kPanel;
      const std::int64_t rows = std::min(kTile, m_count - m);
      at::native::cpublas::brgemm(rows, kPanel, k, x.stride(0), kPanel, kPanel,
                                  /*add_C=*/false, activations + m * x.stride(0),
                                  panels.panel(n / kPanel), tile.data(),
                                  /*is_vnni=*/true);
      const Tile<Out> result{.sums = tile.data(),
                             .rows = rows,
                             .columns = std::min(kPanel, n_count - n),
                             .bias = bias == nullptr || after ? nullptr : bias + n,
                             .rounded_bias = bias == nullptr || !after ? nullptr : bias + n,
                             .weight_scale = epilogue.weight_scale,
                             .input_scale = epilogue.input_scale,
                             .channel_scales = vectors ? channels + n : nullptr,
                             .row_scales = vectors ? scales + m : nullptr,
                             .out = target + m * out.stride(0) + n,
                             .out_stride = out.stride(0)};
      if (vectors) {
        store<true>(result, epilogue.post_op);
      } else {
        store<false>(result, epilogue.post_op);
      }
    }
    at::native::cpublas::brgemm_release();
  });
}

template <typename Weight>
void check_extents(const Tensor& x, const Weight& weight, const Tensor& out) {
  DITQ_ASSERT(x.dim() == 2 && x.stride(1) == 1 && x.size(1) == weight.in_features());
  DITQ_ASSERT(out.dim() == 2 && out.stride(1) == 1 && out.size(1) == weight.out_features());
}

template <typename Panels, typename Weight>
void run_in_dtype(const Tensor& x,
                  const Weight& weight,
                  const GemmEpilogue& epilogue,
                  const Tensor& out) {
  if (out.scalar_type() == at::kFloat) {
    run_panels<Panels, float>(x, weight, epilogue, out);
  } else {
    DITQ_ASSERT(out.scalar_type() == at::kBFloat16);
    run_panels<Panels, BFloat16Bits>(x, weight, epilogue, out);
  }
}

GemmSupport detect_support() {
  if (!__builtin_cpu_supports("avx512bf16")) {
    return {.panels = false, .reason = "the CPU has no AVX512-BF16: bf16 products run in f32"};
  }
  return {.panels = true, .reason = "AVX512-BF16"};
}

}  // namespace

const GemmSupport& gemm_support() {
  static const GemmSupport support = detect_support();
  return support;
}

PackedWeight::PackedWeight(const Tensor& weight)
    : out_features_(weight.size(0)), in_features_(weight.size(1)) {
  DITQ_ASSERT(weight.scalar_type() == at::kBFloat16 && weight.is_contiguous());
  panels_ = gemm_support().panels && in_features_ % 2 == 0;
  data_ = panels_ ? pack_panels(weight, out_features_, in_features_) : weight.to(at::kFloat);
}

void gemm(const Tensor& x,
          const PackedWeight& weight,
          const GemmEpilogue& epilogue,
          const Tensor& out) {
  check_extents(x, weight, out);
  if (x.size(0) == 0) return;
  if (weight.panels()) {
    run_in_dtype<ReadyPanels>(x, weight, epilogue, out);
  } else {
    out.copy_(reference::gemm(x, weight.data(), epilogue, out.scalar_type()));
  }
}

void gemm(const Tensor& x,
          const Nvfp4Weight& weight,
          const GemmEpilogue& epilogue,
          const Tensor& out) {
  check_extents(x, weight, out);
  if (x.size(0) == 0) return;
  if (gemm_support().panels && x.scalar_type() == at::kBFloat16) {
    run_in_dtype<ExpandedPanels>(x, weight, epilogue, out);
  } else {
    out.copy_(reference::gemm(x, weight.dequantize(), epilogue, out.scalar_type()));
  }
}

namespace reference {

Tensor gemm(const Tensor& x,
            const Tensor& weight,
            const GemmEpilogue& epilogue,
            at::ScalarType out) {
  Tensor sum = at::linear(x.to(at::kFloat), weight.to(at::kFloat));
  if (epilogue.channel_scales.defined()) {
    sum = sum.mul(epilogue.channel_scales).mul(epilogue.row_scales.unsqueeze(1));
  }
  if (epilogue.weight_scale != 1) sum = sum.mul(epilogue.weight_scale);
  if (epilogue.input_scale != 1) sum = sum.mul(epilogue.input_scale);
  if (epilogue.bias_after_rounding) sum = sum.to(out).to(at::kFloat);
  if (epilogue.bias.defined()) sum = sum.add(epilogue.bias);
  sum = sum.to(out);
  return epilogue.post_op == PostOp::gelu_tanh ? at::gelu(sum, "tanh") : sum;
}

}  // namespace reference
}  // namespace ditq
