#pragma once
// Normalisations over the last dimension; statistics in f32.

#include "tensor/tensor.h"

namespace ditq {

/// (x - mean) / sqrt(var + eps) * weight + bias.
/// Shapes: x [..., D]; weight, bias [D] or empty. bf16 or f32; returns x's shape and dtype.
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps);

/// x / sqrt(mean(x^2) + eps) in f32, rounded to x's dtype, then times weight in that dtype.
/// Shapes: x [..., D]; weight [D]. Returns x's shape and dtype.
/// Source: transformers T5LayerNorm, diffusers RMSNorm (both round before the weight).
Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps);

}  // namespace ditq
