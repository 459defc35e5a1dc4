#pragma once
// Initial latents from a file.

#include <string>

#include "format/tensor_info.h"
#include "tensor/tensor.h"

namespace ditq {

/// Reads FILE or FILE:NAME (safetensors): the named tensor, `latents`, or the only one. It may have either shape;
/// unpacked latents are packed. Returns the packed shape in the file's dtype.
/// Errors: as SafetensorsFile::open; missing_tensor, wrong_shape, wrong_dtype, not_a_number.
Tensor read_latents(const std::string& source, const Shape& packed, const Shape& unpacked);

}  // namespace ditq
