#pragma once
// New tensors, for code that includes no operator headers. All on the CPU.

#include <vector>

#include "tensor/tensor.h"

namespace ditq {

/// Uninitialised memory.
Tensor empty(at::IntArrayRef shape, at::ScalarType dtype);

/// Every element `value`, rounded to dtype.
Tensor filled(at::IntArrayRef shape, double value, at::ScalarType dtype);

/// [n] i64 and [n] f32, copied.
Tensor from_values(const std::vector<std::int64_t>& values);
Tensor from_values(const std::vector<float>& values);

/// Tensors of one shape, stacked on a new dimension.
Tensor stacked(const std::vector<Tensor>& parts, std::int64_t dim);

/// Standard normal values from torch's CPU generator with this seed, drawn in dtype.
Tensor normal(std::uint64_t seed, at::IntArrayRef shape, at::ScalarType dtype);

}  // namespace ditq
