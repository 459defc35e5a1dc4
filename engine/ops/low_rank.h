#pragma once
// A matrix as a product of two thin ones.

#include "tensor/tensor.h"

namespace ditq {

/// b a, the best approximation of a matrix by one of this rank.
struct LowRank {
  Tensor a;  ///< [rank, K]: right singular vectors
  Tensor b;  ///< [N, rank]: left singular vectors times singular values
};

/// The factors of w [N, K] by an SVD in f64 on the CPU, in w's dtype; zeros where the matrix is smaller than the rank.
/// Source: ModelOpt reference 4.5.
LowRank low_rank(const Tensor& w, std::int64_t rank);

/// b a in the factors' dtype, [N, K].
Tensor product(const LowRank& factors);

}  // namespace ditq
