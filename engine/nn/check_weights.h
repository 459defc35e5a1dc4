#pragma once
// Compares a network's checkpoint with the tensors that the network reads, before anything is
// built.

#include <map>
#include <string>
#include <vector>

#include "tensor/weights.h"

namespace ditq {

/// A tensor that a network reads.
struct ExpectedTensor {
  std::string name;
  Shape shape;
  bool required = true;  ///< where false, only the shape is checked
};

/// All tensors of one network.
struct WeightTable {
  std::string network;                  ///< "T5 encoder", for messages
  std::vector<ExpectedTensor> tensors;  ///< what it reads
  std::vector<std::string> tolerated;  ///< prefixes of names that belong to parts which are not run

  /// Adds `name`.weight [out, in] and, where asked for, `name`.bias [out].
  void add_linear(const std::string& name, std::int64_t out, std::int64_t in, bool bias);
  /// Adds `name`.weight [out, in, kernel, kernel] and `name`.bias [out].
  void add_conv(const std::string& name, std::int64_t out, std::int64_t in, std::int64_t kernel);
  /// Adds `name`.weight [size] and, where asked for, `name`.bias [size].
  void add_norm(const std::string& name, std::int64_t size, bool bias);
};

/// What a checkpoint holds under a name.
struct StoredTensor {
  Dtype dtype = Dtype::bf16;
  Shape shape;
};

/// Checks that every required tensor is there with its shape and a floating-point dtype of at least
/// 16 bits, and that nothing else is. `path` names the checkpoint. Errors: family_mismatch, which
/// lists all problems; those that differ in numbers inside the name are one line.
void check_weights(const WeightTable& table,
                   const std::map<std::string, StoredTensor>& found,
                   const std::string& path);

/// The same for the tensors below w's prefix.
void check_weights(const WeightTable& table, const Weights& w);

}  // namespace ditq
