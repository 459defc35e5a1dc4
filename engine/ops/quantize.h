#pragma once
// Run-time quantization of activations.

#include "tensor/tensor.h"

namespace ditq {

/// E4M3 values of x / input_scale, saturating: e4m3_rne(clamp(f32(x) * (1 / input_scale), ±448)), held in bf16, where
/// they are exact. NaN stays NaN.
/// Shapes: x [..., K] bf16 or f32, contiguous. Returns x's shape in bf16.
/// Source: SGLang bridge 4.7.
Tensor quantize_e4m3(const Tensor& x, float input_scale);

namespace reference {

/// The definition, by torch's own cast.
Tensor quantize_e4m3(const Tensor& x, float input_scale);

}  // namespace reference
}  // namespace ditq
