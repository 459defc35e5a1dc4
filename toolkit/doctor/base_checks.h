#pragma once
// What the base says about a checkpoint's layers: names the classic mistakes, each with the error as stored and after
// it is undone.

#include <vector>

#include "convert/component_source.h"
#include "doctor/findings.h"
#include "doctor/layer.h"
#include "doctor/report.h"
#include "format/tensor_view.h"

namespace ditq {

/// Compares a layer with the base's weight of its name, where shapes agree (others have a finding already).
void check_against_base(const LayerData& data,
                        const TensorView& base,
                        Findings& findings,
                        ExaminedLayer& examined);

/// Compares biases and everything else that is no weight.
void check_other_tensors(const TensorView& tensors, const TensorView& base, Findings& findings);

/// Where all packed layers have one mistake that a key of the config declares, says that the key contradicts the
/// weights.
void explain_keys(const TransformerSource& source,
                  const std::vector<Layer>& layers,
                  std::vector<Finding>& findings);

}  // namespace ditq
