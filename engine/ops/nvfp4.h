#pragma once
// NVFP4 on a device without FP4 units: weights stay packed at 4.5 bits and become bf16 panel by panel, activations are
// quantized to the values that FP4 units would multiply. Both are exact in bf16, so the bf16 product with f32
// accumulation is the FP4 product.

#include <cstdint>

#include "ops/gemm.h"
#include "tensor/tensor.h"

namespace ditq {

/// A weight [N, K] of E2M1 codes with one E4M3 scale for 16 columns, in panels of 64 output features: codes
/// [N / 64, K / 2, 64], block scales [N / 64, K / 16, 64]. Rows beyond N are zero.
class Nvfp4Weight {
 public:
  Nvfp4Weight() = default;
  /// codes [N, K / 2] uint8, the even column in the low nibble; block_scales [N, K / 16] E4M3 (or its bytes), row by row.
  Nvfp4Weight(const Tensor& codes, const Tensor& block_scales);

  std::int64_t out_features() const { return out_features_; }
  std::int64_t in_features() const { return in_features_; }
  /// Bytes that stay resident.
  std::size_t nbytes() const { return codes_.nbytes() + block_scales_.nbytes(); }

  /// E2M1 value x block scale of output features [64 index, 64 index + 64), as gemm's panels: [K / 2, 64, 2]. The
  /// tensor's scale stays apart.
  void expand(std::int64_t index, BFloat16Panel* panel) const;

  /// All of them, [N, K] bf16, without rounding.
  Tensor dequantize() const;

 private:
  std::int64_t out_features_ = 0;
  std::int64_t in_features_ = 0;
  Tensor codes_;
  Tensor block_scales_;
};

/// As gemm with a PackedWeight: weight_scale of the epilogue takes the tensor's scale too.
void gemm(const Tensor& x,
          const Nvfp4Weight& weight,
          const GemmEpilogue& epilogue,
          const Tensor& out);

/// What an FP4 unit sees of x: E2M1 value x E4M3 block scale per 16 columns, held in bf16, where they are exact. With
/// g = 1 / input_scale, the block scale is E4M3(min(g * (max|x| * (1/6)), 448)), the element
/// E2M1(x * (1 / (scale * (1/g)))), ties to even, saturating at 6, zero where the block scale is. A NaN makes its block
/// NaN. The product with a weight still has to be multiplied by input_scale.
/// Shapes: x [..., K] bf16 or f32, contiguous, K a multiple of 16; on a GPU x [M, K] bf16, rows contiguous. Returns x's
/// shape in bf16.
/// Source: SGLang bridge 4.8, with correctly rounded reciprocals where a GPU approximates them.
Tensor quantize_nvfp4(const Tensor& x, float input_scale);

/// E2M1 value x block scale of a whole weight on a GPU, [N, K] bf16, without rounding: codes [N, K / 2] uint8, the
/// even column in the low nibble; block_scales [N, K / 16] E4M3 or its bytes; both contiguous.
Tensor dequantize_nvfp4(const Tensor& codes, const Tensor& block_scales);

namespace reference {

/// The definition, in torch's operations.
Tensor quantize_nvfp4(const Tensor& x, float input_scale);

}  // namespace reference
}  // namespace ditq
