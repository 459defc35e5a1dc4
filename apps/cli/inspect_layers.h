#pragma once
// The layers of a checkpoint for `ditq inspect`: how each is stored, its scales, and why it is not quantized.

#include <string>
#include <vector>

#include "family/detect.h"
#include "format/checkpoint.h"
#include "inspect_report.h"
#include "quant/config.h"

namespace ditq {

/// All modules with a weight, in the order of their names with numbers as numbers (block 2 before block 10).
/// Errors: file_changed, file_unreadable (scales are read).
std::vector<LayerReport> inspect_layers(const Checkpoint& checkpoint,
                                        const Detection& detection,
                                        const QuantConfig& quant);

}  // namespace ditq
