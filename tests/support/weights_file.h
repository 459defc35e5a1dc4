#pragma once
// Layers made by a test, written as a checkpoint and opened as weights.

#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "support/tensors.h"

namespace ditq::test {

/// Tensors to be written and opened. Copies hold the same tensors and write files of their own.
class WeightsFile {
 public:
  void add(const std::string& name, const Tensor& tensor);

  Weights open(WeightsOptions options = {}) const;
  Weights open(at::ScalarType dtype, QuantConfig quant) const;

 private:
  std::vector<std::pair<std::string, Tensor>> tensors_;
};

/// The error of building the linear layer "layer" [n, k] from this file; its text must name a tensor of the layer.
/// Without an error: usage.
ErrorCode build_error(const WeightsFile& file,
                      std::int64_t k,
                      std::int64_t n,
                      const QuantConfig& quant = {});

}  // namespace ditq::test
