#include "ops/norm.h"

#include <ATen/ops/layer_norm.h>
#include <ATen/ops/rsqrt.h>

namespace ditq {

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  return at::layer_norm(x, {x.size(-1)}, weight, bias, eps);
}

Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  const Tensor wide = x.to(at::kFloat);
  const Tensor mean_square = wide.mul(wide).mean(-1, /*keepdim=*/true);
  return wide.mul(at::rsqrt(mean_square.add(eps))).to(x.scalar_type()).mul(weight);
}

}  // namespace ditq
