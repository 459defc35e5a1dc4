#pragma once
// From pixels to 8 bits.

#include "media/picture.h"
#include "tensor/tensor.h"

namespace ditq {

/// [1, 3, H, W] in -1…1 to 8 bits: round(255 * clamp(x / 2 + 0.5, 0, 1)), halves to even, in the tensor's dtype up to
/// the clamp. Errors: not_a_number when a pixel is NaN or infinite.
/// Source: diffusers image_processor.py 0.39 (denormalize, numpy_to_pil).
Picture to_picture(const Tensor& pixels);

}  // namespace ditq
