#pragma once
// Calibration results of a ModelOpt torch checkpoint.

#include <map>
#include <string>

namespace ditq {

/// Absolute maxima of one layer, as float32.
struct LayerAmax {
  float weight = 0.0f;
  float input = 0.0f;
};

/// The amax pairs of a checkpoint.
struct AmaxTable {
  std::string path;                         ///< the checkpoint
  std::map<std::string, LayerAmax> layers;  ///< by "<layer>.weight"; both values were there
  std::map<std::string, std::string> half;  ///< layers with one value only, and which is missing

  /// The entry for a tensor's name: under the name itself, or with "model.diffusion_model." read as "velocity_model.".
  /// nullptr without one. Source: bridge reference 2.4.
  const LayerAmax* find(const std::string& tensor) const;
  /// The key that find() would use, empty without one.
  std::string key_of(const std::string& tensor) const;
};

/// Reads <layer>.weight_quantizer._amax and <layer>.input_quantizer._amax of model_state_dict.
/// Errors: as read_torch_checkpoint; pickle_structure (no model_state_dict), wrong_shape (an amax of several elements),
/// wrong_dtype (an amax that is no floating-point tensor).
AmaxTable read_amax_table(const std::string& path);

}  // namespace ditq
