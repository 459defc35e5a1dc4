#pragma once
// How far two tensors are apart, with the same ATen operators that SGLang's comparison tool calls:
// in f32, summed in torch's blocked order, so that equal machines print equal digits.

#include "tensor/tensor.h"

namespace ditq {

/// Distances between a reference and a candidate, each an f32 result widened.
struct Distance {
  double cosine_similarity = 0;  ///< of the flattened tensors; 1 if both norms are 0, 0 if one is
  double mae = 0;                ///< mean |a - b|
  double mse = 0;                ///< mean (a - b)^2
  double max_abs = 0;            ///< max |a - b|
  double l2 = 0;                 ///< sqrt(sum (a - b)^2)
};

/// Both tensors are taken to f32 on the CPU first. Norms that underflow count as 0 (cosine 1),
/// norms that overflow give cosine 0; a NaN anywhere makes everything NaN, one infinity makes the
/// cosine NaN and the rest infinite. The last digits depend on the number of threads and on the
/// instruction set, as torch's do.
/// Shapes: equal and not empty (checked by the caller); any number or boolean dtype.
/// Source: SGLang bridge reference 6.
Distance distance(const Tensor& reference, const Tensor& candidate);

/// How far a candidate strays, in proportion.
struct Deviation {
  double relative_l2 =
      0;              ///< |b - a| / |a|; 0 if both norms are 0, infinite if only the reference's is
  double cosine = 1;  ///< 1 if both norms are 0, 0 if one is
};

/// Both tensors are taken to f64 on the CPU first: sums of any length keep ten digits, whatever the number of threads.
/// A NaN makes both NaN. Shapes: equal and not empty (checked by the caller).
Deviation deviation_of(const Tensor& reference, const Tensor& candidate);

}  // namespace ditq
