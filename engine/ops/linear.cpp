#include "ops/linear.h"

#include <ATen/ops/linear.h>

namespace ditq {

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  return at::linear(x, weight, bias.defined() ? std::optional<Tensor>(bias) : std::nullopt);
}

}  // namespace ditq
