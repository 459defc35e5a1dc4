#pragma once
// Activation functions, elementwise; any shape, bf16 or f32 in, the same dtype out (computed in f32).

#include <string_view>

#include "tensor/tensor.h"

namespace ditq {

/// x * sigmoid(x).
Tensor silu(const Tensor& x);
/// 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))): "gelu_pytorch_tanh".
Tensor gelu_tanh(const Tensor& x);
/// The same, every step rounded to x's dtype as transformers' NewGELUActivation rounds it: "gelu_new".
Tensor gelu_new(const Tensor& x);
/// x * Phi(x), by erf.
Tensor gelu(const Tensor& x);
/// x * sigmoid(1.702 x), each product rounded to x's dtype as transformers' QuickGELU rounds it.
Tensor quick_gelu(const Tensor& x);
/// max(x, 0).
Tensor relu(const Tensor& x);

using Activation = Tensor (*)(const Tensor&);

/// The function that transformers' configs call by this name ("relu", "gelu", "gelu_new", "gelu_pytorch_tanh",
/// "quick_gelu", "silu", "swish"), or nullptr.
Activation find_activation(std::string_view name);

}  // namespace ditq
