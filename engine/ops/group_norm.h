#pragma once
// Group norm of pictures, with the SiLU that follows it in the same pass.

#include "tensor/tensor.h"

namespace ditq {

struct GroupNormOptions {
  std::int64_t groups = 32;  ///< divides C
  double eps = 1e-6;         ///< added to the variance
  bool silu = false;         ///< x * sigmoid(x) afterwards
};

/// (x - mean) / sqrt(var + eps) * weight + bias with mean and variance over a group's channels and
/// all pixels; rounded to x's dtype before and after SiLU, as the two operations are. Sums do not
/// depend on the number of threads. Shapes: x [B, C, H, W]; weight, bias [C] of x's dtype. bf16 or
/// f32. Returns x's shape and dtype, channels_last.
Tensor group_norm(const Tensor& x,
                  const Tensor& weight,
                  const Tensor& bias,
                  const GroupNormOptions& options);

namespace reference {

Tensor group_norm(const Tensor& x,
                  const Tensor& weight,
                  const Tensor& bias,
                  const GroupNormOptions& options);

}  // namespace reference
}  // namespace ditq
