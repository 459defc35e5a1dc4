#include "ops/activation.h"

#include <cmath>
#include <numbers>

#include <ATen/ops/gelu.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/silu.h>

namespace ditq {

Tensor silu(const Tensor& x) {
  return at::silu(x);
}

Tensor gelu_tanh(const Tensor& x) {
  return at::gelu(x, "tanh");
}

Tensor gelu_new(const Tensor& x) {
  if (x.scalar_type() == at::kFloat) return gelu_tanh(x);
  const double factor = std::sqrt(2.0 / std::numbers::pi);
  // Not in place: some of torch's in-place kernels give other last bits.
  const Tensor inner = x.pow(3.0).mul(0.044715).add(x).mul(factor).tanh().add(1.0);
  return x.mul(0.5).mul(inner);
}

Tensor gelu(const Tensor& x) {
  return at::gelu(x);
}

Tensor quick_gelu(const Tensor& x) {
  return x.mul(at::sigmoid(x.mul(1.702)));
}

Tensor relu(const Tensor& x) {
  return at::relu(x);
}

Activation find_activation(std::string_view name) {
  if (name == "relu") return relu;
  if (name == "gelu") return gelu;
  if (name == "gelu_new") return gelu_new;
  if (name == "gelu_pytorch_tanh") return gelu_tanh;
  if (name == "quick_gelu") return quick_gelu;
  if (name == "silu" || name == "swish") return silu;
  return nullptr;
}

}  // namespace ditq
