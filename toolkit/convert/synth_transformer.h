#pragma once
// A random transformer's tensors in every scheme.

#include <cstdint>
#include <vector>

#include "base/json.h"
#include "convert/made_tensors.h"
#include "convert/synth.h"

namespace ditq {

struct MadeTransformer {
  std::vector<MadeTensor> tensors;
  Json config;
  std::uint64_t parameters = 0;  ///< of the unquantized model
  std::uint64_t quantized_layers = 0;
};

/// What a request that synth() has checked asks for.
MadeTransformer make_transformer(const SynthRequest& request);

}  // namespace ditq
