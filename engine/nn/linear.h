#pragma once
// The one class that knows schemes: a linear layer over whatever encoding its checkpoint holds.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ops/form.h"
#include "ops/gemm.h"
#include "tensor/weights.h"

namespace ditq {

/// y = x W^T + b. Built from `weight` [N, K], an optional `bias` [N], and the scheme's companions below one prefix.
class Linear {
 public:
  /// Errors: missing_tensor, wrong_shape, wrong_dtype, bad_scale, weight_without_scale, scale_without_weight.
  Linear(const Weights& w, std::int64_t in_features, std::int64_t out_features);
  ~Linear();
  Linear(Linear&&) noexcept;
  Linear& operator=(Linear&&) noexcept;

  /// x [..., K] in the run's dtype or in the layer's form. Returns [..., N] in the run's dtype.
  Tensor operator()(const Tensor& x, PostOp post_op = PostOp::none) const;

  /// The same into `out` [..., N], which may be a view whose rows are contiguous ([B, L, N] with any strides of B and L).
  /// `post_op` follows in the same pass; out is in the form `next`.
  void into(const Tensor& x,
            const Tensor& out,
            PostOp post_op = PostOp::none,
            const Form& next = {}) const;

  /// What the layer reads without converting it first.
  Form form() const;
  std::int64_t out_features() const;

  /// The static scale with which the layer quantizes its input to E4M3; 0 where it does not.
  float input_scale() const;
  /// The same layer for input quantized with another scale; weights are shared. Only where input_scale() is not 0.
  Linear with_input_scale(float scale) const;

  /// Module names: one, or those of the layers that were merged.
  const std::vector<std::string>& modules() const { return modules_; }

  /// One layer for several over one input, their outputs side by side, each with its own scales; nothing where that is
  /// not one product. The parts share no memory with it.
  static std::optional<Linear> merged(const std::vector<const Linear*>& parts);

  /// The kernel side of one scheme.
  class Kernel;

 private:
  Linear(std::unique_ptr<const Kernel> kernel, std::vector<std::string> modules);

  std::unique_ptr<const Kernel> kernel_;
  std::vector<std::string> modules_;
};

}  // namespace ditq
