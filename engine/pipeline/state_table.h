#pragma once
// Tensors of a calibration's state by ModelOpt's keys, wherever they stand.

#include <memory>
#include <string>

#include "tensor/tensor.h"

namespace ditq {

class StateTable {
 public:
  virtual ~StateTable() = default;
  virtual const std::string& path() const = 0;
  /// A tensor on the CPU, or an empty one where the state has none of that name.
  virtual Tensor find(const std::string& key) const = 0;
  /// Errors: missing_tensor.
  Tensor at(const std::string& key) const;
};

/// A state file (safetensors), or the model_state_dict of ModelOpt's checkpoint (.pt).
/// Errors: as SafetensorsFile::open, read_torch_checkpoint; missing_tensor for a checkpoint without model_state_dict.
std::unique_ptr<const StateTable> open_state_table(const std::string& path);

}  // namespace ditq
