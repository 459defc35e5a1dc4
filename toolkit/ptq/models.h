#pragma once
// The models that ModelOpt's quantize.py knows by name, and what a name stands for there.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ptq/filters.h"

namespace ditq {

/// What one calibration call of the pipeline gets besides prompts and steps; nothing where the pipeline's default counts.
struct CalibrationArguments {
  std::optional<std::int64_t> height;  ///< pixels
  std::optional<std::int64_t> width;   ///< pixels
  std::optional<double> guidance_scale;
  std::optional<std::int64_t> max_sequence_length;  ///< tokens
};

/// One value of --model.
struct QuantizeModel {
  std::string name;
  std::string hub_id;  ///< what ModelOpt loads without --override-model-path
  std::vector<std::string> backbones = {"transformer"};  ///< components that are quantized
  NameFilter filter = NameFilter::standard;
  bool fp4_with_attention = false;  ///< its FP4 preset measures q, k, v and the attention's result
  bool block_range = false;         ///< only inner blocks are quantized (presets.h)
  CalibrationArguments arguments;
  std::vector<std::string> svdquant_skip =
      {};  ///< wildcards of modules that SVDQuant leaves as NVFP4
};

/// All of them. Source: ModelOpt reference 1.2, 2.4, 2.5 (quantize.py and its models' table @ a2fbac7ba).
const std::vector<QuantizeModel>& quantize_models();

/// The model of that name. Errors: unsupported, listing the known names.
const QuantizeModel& find_quantize_model(std::string_view name);

}  // namespace ditq
