#pragma once
// What an FP8 conversion refuses and what it warns about. Reasons, case by case: docs/formats/decisions.md.

#include <map>
#include <set>
#include <string>
#include <vector>

#include "convert/fp8_source.h"

namespace ditq {

/// What is decided about one selected ".weight".
struct WeightDecision {
  const TensorInfo* tensor = nullptr;  ///< in the export
  std::vector<std::string> variants;   ///< names of its module, preferred one last
  const LayerAmax* amax = nullptr;     ///< its calibration, nullptr without one
  bool fallback = false;               ///< a pattern keeps it in BF16
  bool ignored = false;                ///< the extended ignore list has it
  bool ignored_by_source = false;      ///< the export's own ignore list has it
  bool quantized = false;              ///< it becomes FP8 with new scales
  float weight_scale = 0.0f;
  float input_scale = 0.0f;
};

using WeightDecisions = std::map<std::string, WeightDecision>;     ///< by tensor name
using SelectedTensors = std::map<std::string, const TensorInfo*>;  ///< by tensor name

/// The selection as a whole: something is selected, the checkpoint has amax pairs for it, no scale lacks its weight, and
/// no layer is smoothed or factored.
/// Errors: missing_tensor, not_quantized, scale_without_weight, unsupported.
void check_selection(const SelectedTensors& selected, const Fp8Source& source);

/// Scales and dtypes of all weights, quantized and kept.
/// Errors: bad_scale, wrong_dtype, wrong_shape, weight_without_scale.
void check_fp8_weights(const WeightDecisions& weights,
                       const Fp8Source& source,
                       const SelectedTensors& selected);

/// The base's tensors for the fallback weights.
/// Errors: missing_tensor, wrong_shape, wrong_dtype.
void check_fallbacks(const std::set<std::string>& fallback, const Fp8Source& source);

}  // namespace ditq
