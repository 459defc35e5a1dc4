#pragma once
// Quantization simulated in full precision, as ModelOpt simulates it while it calibrates.

#include "tensor/tensor.h"

namespace ditq {

/// A weight as NVFP4 with the scale of its own amax leaves it. With g = max|w| / 2688 (1e-12 where that is 0), per 16
/// columns S = E4M3(min(block max / (6 g), 448)) * g, or 1 where that is below 1e-5; every element becomes
/// E2M1(|w| / S) * S with its sign, rounded to w's dtype.
/// Shapes: w [N, K] bf16 or f32, contiguous, K a multiple of 16, finite. Returns w's shape and dtype.
/// Source: ModelOpt reference 5.7, with correctly rounded divisions.
Tensor fake_quantize_nvfp4(const Tensor& w);

/// x = E4M3(clamp(x * scale, ±448)) / scale in place, scale = (1 / amax) * 448, rounded to x's dtype; an amax of at most
/// 2^-24 counts as 1. Shapes: x any, bf16 or f32; amax 0-d.
/// Source: ModelOpt reference 5.4 (eager).
void fake_quantize_e4m3(const Tensor& x, const Tensor& amax);

namespace reference {

/// The definition, in torch's operations.
Tensor fake_quantize_nvfp4(const Tensor& w);

}  // namespace reference
}  // namespace ditq
