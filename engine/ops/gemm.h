#pragma once
// Matrix products of the CPU: bf16 codes and weights, f32 accumulation, and an epilogue that rounds once.

#include <cstdint>
#include <string>

#include "tensor/tensor.h"

namespace ditq {

/// Output features of a panel: the unit in which weights are laid out.
inline constexpr std::int64_t kGemmPanel = 64;

/// A bf16 value of a panel, as bits.
using BFloat16Panel = std::uint16_t;

/// A weight [N, K] laid out once for the product: bf16 panels where the CPU has bf16 dot products, f32 otherwise.
/// Values that are exact in bf16 (bf16 weights, decoded E4M3) stay exact in both.
class PackedWeight {
 public:
  PackedWeight() = default;
  /// weight [N, K] bf16, contiguous.
  explicit PackedWeight(const Tensor& weight);

  std::int64_t out_features() const { return out_features_; }
  std::int64_t in_features() const { return in_features_; }
  bool panels() const { return panels_; }
  const Tensor& data() const { return data_; }

 private:
  std::int64_t out_features_ = 0;
  std::int64_t in_features_ = 0;
  bool panels_ = false;
  Tensor data_;
};

/// What a product is followed by, in the same pass.
enum class PostOp {
  none,
  gelu_tanh,  ///< gelu_tanh of the rounded product, rounded again: as two operations would
};

/// What happens to an accumulator: fma(acc * weight_scale, input_scale, bias), rounded, then the post op. With scales of
/// channels and rows: fma(acc * channel_scales[n], row_scales[m], bias).
struct GemmEpilogue {
  float weight_scale = 1;
  float input_scale = 1;
  Tensor channel_scales;  ///< f32 [N] in the place of weight_scale, or empty
  Tensor row_scales;      ///< f32 [M] in the place of input_scale; there where channel_scales are
  Tensor bias;            ///< f32 [N], or empty
  bool bias_after_rounding =
      false;  ///< the product is rounded, then the bias is added and rounded again
  PostOp post_op = PostOp::none;
};

/// out[m, n] = round(fma(sum_k x[m, k] w[n, k] * weight_scale, input_scale, bias[n])).
/// Shapes: x [M, K] bf16, rows contiguous; out [M, N] bf16 or f32, rows contiguous (both may be views with a row
/// stride). The sum is f32; its order is fixed by the shape, not by the number of threads.
void gemm(const Tensor& x,
          const PackedWeight& weight,
          const GemmEpilogue& epilogue,
          const Tensor& out);

/// Whether this CPU runs the bf16 panels, and why not otherwise.
struct GemmSupport {
  bool panels = false;
  std::string reason;
};
const GemmSupport& gemm_support();

namespace reference {

/// The definition, in plain operations: weight [N, K] as given to PackedWeight.
Tensor gemm(const Tensor& x,
            const Tensor& weight,
            const GemmEpilogue& epilogue,
            at::ScalarType out);

}  // namespace reference
}  // namespace ditq
