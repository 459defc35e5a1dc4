#pragma once
// What a layer's own numbers betray, without a base.

#include "doctor/findings.h"
#include "doctor/layer.h"
#include "format/tensor_view.h"

namespace ditq {

/// Numbers of one quantized layer that belong together.
struct LayerAmax {
  std::string layer;
  double weight = 0;  ///< the largest weight that its scales and codes allow
};

/// Judges one quantized layer: codes that are no numbers, saturated, or hardly use their range; scales and amax values
/// beyond anything that a network has. Thresholds are wide: a correct layer passes whatever it holds.
/// Returns its amax.
LayerAmax check_itself(const TensorView& view, const LayerData& data, Findings& findings);

/// Block scales whose rows and columns differ in size only when they are read in the other order. Tells what there is
/// to tell without a base; weights without such a structure tell nothing.
void check_scale_order(const LayerData& data, Findings& findings);

/// Compares layers of one role, blocks counted out: an amax a thousand times from the median of at least four is a
/// wrong scale.
void check_amax_among_blocks(const std::vector<LayerAmax>& layers, Findings& findings);

}  // namespace ditq
