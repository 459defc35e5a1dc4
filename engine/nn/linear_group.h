#pragma once
// Layers over one input, such as the projections to queries, keys and values.

#include <optional>
#include <vector>

#include "nn/linear.h"

namespace ditq {

class LinearGroup {
 public:
  /// Takes the layers; where their scheme allows it they become one product, the scales of each kept.
  explicit LinearGroup(std::vector<Linear> parts);

  /// What all layers read: the parts' form where they share one, else values of the run's dtype.
  const Form& form() const { return form_; }

  /// x [..., K] in the run's dtype or in form(); outs: one [..., N] for each layer, in the order of the constructor. Where
  /// these are neighbouring columns of one tensor, one product writes them.
  void into(const Tensor& x, const std::vector<Tensor>& outs) const;

 private:
  std::vector<Linear> parts_;  ///< empty once merged
  std::optional<Linear> merged_;
  Form form_;
};

}  // namespace ditq
