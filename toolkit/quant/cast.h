#pragma once
// Elements of one floating-point dtype as those of another, as a PyTorch cast makes them.

#include <span>

#include "base/dtype.h"
#include "base/file.h"

namespace ditq {

/// Whether cast_elements knows the dtype: f32, bf16 or f16.
bool is_castable(Dtype dtype);

/// Casts through float32: nearest, ties to even. Equal dtypes copy.
/// Shapes: both hold the same number of elements, little endian, any alignment.
void cast_elements(Dtype from, Bytes source, Dtype to, std::span<std::byte> out);

}  // namespace ditq
