#pragma once
// How an output tensor is computed from one stored tensor, piece by piece, so that any block of it can be made on its own.

#include <cstdint>
#include <span>
#include <string>

#include "base/file.h"
#include "format/tensor_info.h"

namespace ditq {

/// A computation of units: a run of input bytes gives a run of output bytes, and no unit depends on another. Unit n of
/// the output is made of unit n of the input. Immutable: several threads use one recipe at once.
class TensorRecipe {
 public:
  virtual ~TensorRecipe() = default;

  /// Bytes of a unit of the input and of the output, both above zero.
  virtual std::uint64_t unit_in() const = 0;
  virtual std::uint64_t unit_out() const = 0;
  /// Makes whole units. `source` is named in errors. Errors: not_a_number.
  virtual void make(const TensorInfo& source, Bytes in, std::span<std::byte> out) const = 0;
  /// Everything that the output depends on besides the input, so that finished work is known again.
  virtual std::string identity() const = 0;
};

}  // namespace ditq
