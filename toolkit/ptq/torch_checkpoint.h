#pragma once
// ModelOpt's torch checkpoint of a calibrated component: <component>.pt.

#include <string>
#include <vector>

#include "ptq/export_plan.h"

namespace ditq {

/// What a checkpoint records besides the tensors.
struct TorchCheckpointInputs {
  const ExportInputs& component;
  const std::vector<QuantizerRule>& rules;
  CalibrationAlgorithm algorithm = CalibrationAlgorithm::max;
  std::int64_t lowrank = 32;
  std::vector<std::string> svdquant_skip;  ///< wildcards
};

/// Writes `path`: modelopt_state (the modes quantize and max_calibrate or svdquant_calibrate, with the state of every
/// quantizer) and model_state_dict (weights as loaded, and what the calibration measured). Bytes go from file to file.
/// Errors: as write_torch_file; storage, file_changed.
/// Source: ModelOpt reference 6.1.
void write_torch_checkpoint(const std::string& path, const TorchCheckpointInputs& inputs);

}  // namespace ditq
