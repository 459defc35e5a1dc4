#pragma once
// The largest magnitude of a tensor: what a quantizer's scale is made from.

#include "tensor/tensor.h"

namespace ditq {

/// max |x| as a 0-d tensor of x's dtype, on its device. A NaN anywhere makes it NaN, else an infinity infinite.
/// Shapes: any, not empty, any strides.
Tensor abs_max(const Tensor& x);

namespace reference {

/// The definition, in torch's operations.
Tensor abs_max(const Tensor& x);

}  // namespace reference
}  // namespace ditq
