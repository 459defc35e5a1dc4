#pragma once
// The tensors of an exported component, decided before anything is written: what is packed with which scales, what is
// copied, what is cast.

#include <string>
#include <vector>

#include "convert/output_plan.h"
#include "ptq/beyond.h"
#include "ptq/calibration_state.h"
#include "ptq/loaded_dtype.h"
#include "ptq/model_source.h"
#include "ptq/quantizers.h"
#include "quant/arithmetic.h"

namespace ditq {

/// What an export of one component is made of.
struct ExportInputs {
  const ComponentSource& source;
  const QuantNetwork& network;
  const QuantizerSet& quantizers;
  const CalibrationState& state;
  const LoadedDtype& dtype;
  Arithmetic arithmetic = Arithmetic::cuda;
  BeyondModelopt beyond = {};
};

/// A planned component.
struct ComponentPlan {
  std::vector<PlannedTensor> tensors;    ///< in the order of the state dict, without folder
  std::vector<std::string> quantized;    ///< names of packed layers, in the order of the network
  std::vector<std::string> unquantized;  ///< names of layers whose weight quantizer is off
  std::vector<std::string> unpacked;  ///< convolutions whose quantizer is on: no format packs them
  QuantizerConfig config;             ///< of all packed layers
};

/// Plans. Everything is checked here. Errors: missing_tensor (a layer without amax, an SVDQuant layer without its
/// residual), family_mismatch (the state has layers that the model lacks), wrong_shape, wrong_dtype, bad_scale (an amax
/// of zero), not_a_number, not_quantized (no layer is), unsupported (layers of several formats, or groups of layers that
/// share an input and differ).
/// Source: ModelOpt reference 5.3, 5.6, 6.5, 8.
ComponentPlan plan_component(const ExportInputs& inputs);

/// Groups of packed layers that get common scales, names filled in. Empty for formats that do not share.
/// Errors: unsupported (a group of several formats).
std::vector<std::vector<std::string>> shared_scale_groups(const QuantNetwork& network,
                                                          const QuantizerSet& quantizers,
                                                          const FamilySpec* family);

}  // namespace ditq
