#pragma once
// What a transformer checkpoint is: family, variant, dialect and scheme, each with the reason.

#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "family/family.h"

namespace ditq {

/// What is stored: one word for the whole checkpoint. "fp8-modelopt" has 0-d scales, "fp8-sglang" scales of shape [1].
struct Detection {
  const FamilySpec* family = nullptr;  ///< nullptr: none of the known ones
  const Variant* variant = nullptr;    ///< nullptr: no published one
  const DialectMark* mark = nullptr;   ///< the naming scheme; nullptr: none of the family's
  std::string dialect = "unknown";     ///< naming scheme
  std::string scheme =
      "unknown";  ///< bf16, f16, f32, fp8-modelopt, fp8-sglang, fp8, nvfp4, mixed, …
  std::map<std::string, int>
      weights;  ///< matrices (tensors of rank 2 named .weight) by dtype or scheme
  std::vector<std::string> reasons;  ///< one sentence per decision
};

/// Looks at a config (a null value without one), the tensors and the metadata of the first shard.
Detection detect(const Json& config,
                 const TensorTable& tensors,
                 const std::map<std::string, std::string>& metadata);

/// The first variant of the family that config (a null value without one) and tensors (diffusers dialect, shapes as
/// unquantized) fit, or nullptr.
const Variant* find_variant(const FamilySpec& family,
                            const Json& config,
                            const TensorTable& tensors);

}  // namespace ditq
