#pragma once
// From a calibrated model to its exports: what `ditq quantize` does once the statistics are there.

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "convert/shard_pipeline.h"
#include "ptq/beyond.h"
#include "ptq/presets.h"
#include "quant/arithmetic.h"

namespace ditq {

/// Layers whose SVDQuant branches are to be made one: what is asked of whoever can compute it.
struct UnifyGroups {
  std::string base_folder;                       ///< the component's
  std::string state;                             ///< file of the calibration
  std::vector<std::vector<std::string>> groups;  ///< module names
  std::int64_t rank = 0;
};

/// What to export.
struct QuantizeRequest {
  std::string model = "flux-dev";             ///< a name of quantize_models()
  std::string folder;                         ///< the pipeline or component
  std::string shown;                          ///< the same as the user named it, for documents
  std::vector<std::string> backbones;         ///< empty: the model's
  std::map<std::string, std::string> states;  ///< calibration (.pt or state file) by component
  std::string format;                         ///< fp8, fp4; empty: the checkpoint's
  std::string algorithm;                      ///< max, svdquant; empty: what the statistics are of
  std::int64_t lowrank = 32;                  ///< of a calibration; statistics bring their own
  std::int64_t block_size = 16;
  bool quantize_mha = false;
  std::string model_dtype = "BFloat16";                 ///< Half, BFloat16, Float
  std::map<std::string, std::string> component_dtypes;  ///< by component
  std::string torch_folder;                             ///< for NAME.pt; empty: none
  std::string torch_name;  ///< stem instead of the component's; empty: that
  std::string hf_folder;   ///< for the export; empty: none
  Arithmetic arithmetic = Arithmetic::cuda;
  BeyondModelopt beyond = {};  ///< off by default; with weights_only `states` stays empty
  bool overwrite = false;
  PipelineLimits limits;
  /// Makes a state file with the joint branches at the returned path; needed for SVDQuant exports of layers that share
  /// an input.
  std::function<std::string(const UnifyGroups&)> unify;
};

/// The components that a request quantizes. Errors: unsupported (unknown model).
const std::vector<std::string>& backbones_of(const QuantizeRequest& request);

/// Checks everything that can be known before a calibration: flags against each other, the model, and that the outputs
/// can be made. Errors: usage, unsupported, output_exists, output_overlaps, and those of opening the model.
void check_quantize(const QuantizeRequest& request);

/// Writes the exports, each complete or not at all. Returns what was done, for stdout: per component the number of
/// layers by what became of them, and the files.
/// Errors: as check_quantize, CalibrationState::open, plan_component, write_output and write_torch_checkpoint.
Json quantize(const QuantizeRequest& request);

/// "cuda" or "cpu". Errors: usage.
Arithmetic parse_arithmetic(const std::string& spelling);

}  // namespace ditq
