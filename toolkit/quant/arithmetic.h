#pragma once
// Two devices, two roundings: what ModelOpt's exports hold depends on where they were made.

namespace ditq {

/// Whose float32 arithmetic an export follows. PyTorch on CUDA divides by a Python number by multiplying with its float32
/// reciprocal, and rounds a 0-d float32 divisor to the dividend's dtype first; on a CPU both are true float32 divisions.
/// Source: ModelOpt reference 5.2 and 5.3, confirmed there on an H200.
enum class Arithmetic { cuda, cpu };

/// amax / divisor as the device computes it: a product with fl(1 / divisor), or a division.
inline float divide_by_number(float amax, float divisor, Arithmetic arithmetic) {
  return arithmetic == Arithmetic::cuda ? amax * (1.0f / divisor) : amax / divisor;
}

}  // namespace ditq
