#pragma once
// New tensors, for code that includes no operator headers. On the CPU where no device is given.

#include <vector>

#include "tensor/tensor.h"

namespace ditq {

/// Uninitialised memory.
Tensor empty(at::IntArrayRef shape, at::ScalarType dtype, at::Device device = at::kCPU);

/// Every element `value`, rounded to dtype.
Tensor filled(at::IntArrayRef shape,
              double value,
              at::ScalarType dtype,
              at::Device device = at::kCPU);

/// [n] i64 and [n] f32, copied.
Tensor from_values(const std::vector<std::int64_t>& values);
Tensor from_values(const std::vector<float>& values);

/// Tensors of one shape, stacked on a new dimension.
Tensor stacked(const std::vector<Tensor>& parts, std::int64_t dim);

/// Tensors that agree in all extents but `dim`, one behind the other.
Tensor joined(const std::vector<Tensor>& parts, std::int64_t dim);

/// Standard normal values from torch's generator of this device with this seed, drawn in dtype.
Tensor normal(std::uint64_t seed,
              at::IntArrayRef shape,
              at::ScalarType dtype,
              at::Device device = at::kCPU);

}  // namespace ditq
