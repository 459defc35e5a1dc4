#pragma once
// Tensors as the device's kernels take them.

#include <cstdint>

#include "kernels/cuda_device.h"
#include "tensor/tensor.h"

namespace ditq {

/// x [B, L, C].
inline TokenView token_view(const Tensor& x) {
  return {.data = x.data_ptr(), .batch_stride = x.stride(0), .row_stride = x.stride(1)};
}

/// x [B, C].
inline VectorView vector_view(const Tensor& x) {
  return {.data = x.const_data_ptr(), .batch_stride = x.stride(0)};
}

/// Whether rows can be read 16 bytes of bf16 at a time: the last extent, the strides and the address allow it.
inline bool has_vector_rows(const Tensor& x) {
  constexpr std::int64_t kLane = 8;
  if (x.stride(-1) != 1 || x.size(-1) % kLane != 0) return false;
  for (std::int64_t dim = 0; dim + 1 < x.dim(); ++dim) {
    if (x.size(dim) > 1 && x.stride(dim) % kLane != 0) return false;
  }
  return reinterpret_cast<std::uintptr_t>(x.const_data_ptr()) % 16 == 0;
}

/// Whether x [B, L, C] is one matrix [B * L, C] with a fixed step from row to row.
inline bool is_matrix(const Tensor& x) {
  return x.size(0) == 1 || x.stride(0) == x.size(1) * x.stride(1);
}

}  // namespace ditq
