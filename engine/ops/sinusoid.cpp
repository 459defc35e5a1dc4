#include "ops/sinusoid.h"

#include <cmath>

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>

namespace ditq {

Tensor sinusoid(const Tensor& t, std::int64_t channels, double max_period) {
  const std::int64_t half = channels / 2;
  const Tensor exponent = at::arange(0, half, at::TensorOptions(at::kFloat).device(t.device()))
                              .mul(-std::log(max_period))
                              .div(half);
  const Tensor angle = t.to(at::kFloat).unsqueeze(1).mul(exponent.exp().unsqueeze(0));
  return at::cat({angle.cos(), angle.sin()}, -1);
}

}  // namespace ditq
