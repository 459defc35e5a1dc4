#pragma once
// The modules of a network that ModelOpt puts quantizers into.

#include <string>
#include <vector>

#include "base/json.h"
#include "family/family.h"

namespace ditq {

/// What a module is, as far as its quantizers depend on it.
enum class LayerKind {
  linear,     ///< weight of rank 2
  conv,       ///< weight of rank 3 to 5; measured, never packed
  norm,       ///< a LayerNorm
  attention,  ///< q, k, v, probabilities, result
};

/// One module.
struct QuantLayer {
  std::string name;
  LayerKind kind = LayerKind::linear;
  std::size_t rank = 0;  ///< of the weight; 0 without one
};

/// A network as calibration and export see it.
struct QuantNetwork {
  std::vector<QuantLayer> layers;    ///< in the order of their quantizers
  std::vector<std::string> tensors;  ///< in the order of the state dict
  std::int64_t head_size = 0;  ///< channels of an attention head; 0 where the config does not say
  std::int64_t blocks = 0;     ///< transformer_blocks
};

/// Reads a network off its tensors, config and family (nullptr: tensors alone, no norms and attention modules).
QuantNetwork describe_network(const TensorTable& tensors,
                              const Json& config,
                              const FamilySpec* family);

}  // namespace ditq
