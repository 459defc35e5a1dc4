#pragma once
// The two-layer projections that turn a timestep, a guidance value or a pooled text into a conditioning vector.

#include "nn/linear.h"

namespace ditq {

/// linear_2(silu(linear_1(x))).
class EmbeddingMlp {
 public:
  /// Tensors `linear_1`, `linear_2` below w.
  EmbeddingMlp(const Weights& w, std::int64_t in_features, std::int64_t hidden);

  /// x [B, in_features] in the run's dtype. Returns [B, hidden].
  Tensor operator()(const Tensor& x) const;

 private:
  Linear linear_1_;
  Linear linear_2_;
};

}  // namespace ditq
