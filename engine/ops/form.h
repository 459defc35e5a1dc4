#pragma once
// What a linear layer reads.

#include "tensor/tensor.h"

namespace ditq {

/// Values in the run's dtype, or E4M3 codes of value / scale as a Float8_e4m3fn tensor. An op that is told the form of the
/// layer behind it writes that form in its own pass.
struct Form {
  bool e4m3 = false;
  float scale = 1;  ///< positive
  Tensor inverse;   ///< f32 [1] on the device: 1 / scale, for kernels that read it there

  bool operator==(const Form& other) const { return e4m3 == other.e4m3 && scale == other.scale; }
};

}  // namespace ditq
