#pragma once
// Sizes of a model read off its tensors, for files without a config.

#include <cstdint>
#include <string>

#include "family/family.h"

namespace ditq {

/// Looks sizes up in a table of the diffusers dialect.
class TensorSizes {
 public:
  /// `path` names the checkpoint in errors.
  TensorSizes(const TensorTable& tensors, std::string path);

  /// An extent of a tensor. Errors: missing_tensor, wrong_shape.
  std::int64_t extent(const std::string& tensor, std::size_t dimension) const;
  /// Whole number of times that `part` fits. Errors: bad_config, naming `what`.
  std::int64_t quotient(std::int64_t whole, std::int64_t part, const char* what) const;
  bool has(const std::string& tensor) const { return tensors_.contains(tensor); }
  /// Number of blocks "<prefix>0.", "<prefix>1.", … that have this tensor.
  std::int64_t blocks(const std::string& prefix, const std::string& tensor) const;
  /// Raises bad_config: the tensors do not tell.
  [[noreturn]] void fail(const std::string& sentence) const;

 private:
  const TensorTable& tensors_;
  std::string path_;
};

}  // namespace ditq
