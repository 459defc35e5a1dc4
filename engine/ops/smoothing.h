#pragma once
// The statistics and scales by which SVDQuant moves outliers from activations into weights.

#include "tensor/tensor.h"

namespace ditq {

/// Mean |x| of every channel over all tokens, summed in f32 and rounded to x's dtype, as f32 [K].
/// Shapes: x [..., K]. Source: ModelOpt reference 4.1.
Tensor channel_mean(const Tensor& x);

/// How large a weight's elements are within their blocks: |w| / (block max + tiny) in w's dtype, then the mean over the
/// rows as channel_mean has it. Shapes: w [N, K]; the last block may be short. Returns f32 [K].
/// Source: ModelOpt reference 4.2.
Tensor block_relative_mean(const Tensor& w, std::int64_t block);

/// The scale that weights are multiplied with and activations divided by: a^alpha / (b^(1 - alpha) + 2^-126) clamped to
/// [1e-4, 1e4], then divided by sqrt(max min). Shapes: activations a and weights b f32 [K]; returns f32 [K].
/// Source: ModelOpt reference 4.3.
Tensor balancing_scale(const Tensor& activations, const Tensor& weights, float alpha);

/// Mean of (a - b)^2, the difference rounded to their dtype, in f32. 0-d. Shapes: alike.
Tensor mean_squared_difference(const Tensor& a, const Tensor& b);

}  // namespace ditq
