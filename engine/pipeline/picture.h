#pragma once
// From pixels to 8 bits.

#include "media/picture.h"
#include "tensor/tensor.h"

namespace ditq {

/// How many values are NaN or infinite.
std::int64_t count_non_finite(const Tensor& values);

/// [1, 3, H, W] in -1…1 to 8 bits: round(255 * clamp(x / 2 + 0.5, 0, 1)), halves to even, in the tensor's dtype up to
/// the clamp. A NaN becomes 0.
/// Source: diffusers image_processor.py 0.39 (denormalize, numpy_to_pil).
Picture to_picture(const Tensor& pixels);

}  // namespace ditq
