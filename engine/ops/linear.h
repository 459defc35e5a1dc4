#pragma once
// The plain product.

#include "tensor/tensor.h"

namespace ditq {

/// x W^T + b by torch. Shapes: x [..., K], weight [N, K], bias [N] or empty; one dtype.
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias);

}  // namespace ditq
