#pragma once
// The one door to torch: the tensor type, dtype mapping, and tensors over bytes on disk.

#include <ATen/core/Tensor.h>

#include "format/tensor_view.h"

namespace ditq {

using Tensor = at::Tensor;

/// The torch dtype of a safetensors dtype. Errors: unsupported for F4, F6 and the fnuz types.
at::ScalarType scalar_type(Dtype dtype);

/// The safetensors dtype of a torch dtype. Errors: unsupported.
Dtype dtype_of(at::ScalarType type);

/// A tensor over the file's mapping: no copy, and the file stays open as long as the tensor lives. Must not be written.
/// F4 comes as uint8 of half the last extent.
Tensor from_file(const TensorInfo& info);

/// A tensor over bytes that stay where they are: no copy; the tensor keeps their owner. Must not be written. F4 as above.
Tensor from_bytes(const TensorBytes& bytes, Dtype dtype, const Shape& shape);

/// `tensor` on `device`; from the CPU to CUDA through pinned memory. The tensor itself where it is there already.
Tensor on_device(const Tensor& tensor, at::Device device);

/// The bytes of a contiguous CPU tensor.
Bytes bytes_of(const Tensor& tensor);

/// Extents as a Shape.
Shape shape_of(const Tensor& tensor);

}  // namespace ditq
