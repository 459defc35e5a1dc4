#pragma once
// Operands for timing a product: what a chip at its power limit takes depends on the values, too.

#include <vector>

#include "kernels/cuda_device.h"
#include "tensor/tensor.h"

namespace ditq {

/// Random operands of the kinds, extents and alignments that `like` has; its own addresses are not read.
class GemmOperands {
 public:
  GemmOperands(const GemmProblem& like, at::Device device);

  /// Names the operands: valid while they live.
  const GemmProblem& problem() const { return problem_; }

 private:
  const void* keep(const Tensor& values, const void* like);

  std::vector<Tensor> memory_;
  GemmProblem problem_;
};

}  // namespace ditq
