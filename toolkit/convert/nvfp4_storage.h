#pragma once
// How the NVFP4 layers of a checkpoint are stored: nibble order and block-scale order, with the reasons.

#include <map>
#include <string>
#include <vector>

#include "convert/stored_modules.h"
#include "family/family.h"
#include "quant/config.h"

namespace ditq {

/// What holds for all layers of a checkpoint unless a layer's shapes say otherwise.
struct Nvfp4Storage {
  bool high_nibble_first = false;
  ScaleLayout scales = ScaleLayout::linear;
  bool scales_declared = false;  ///< by the config; otherwise the naming's habit
};

/// Decides from the config where it says something, otherwise from the dialect: files of BFL and ComfyUI are packed by
/// comfy-kitchen, with the high nibble first and scales in the 128x4 order; all others are as ModelOpt writes them.
/// Adds its reasons.
Nvfp4Storage nvfp4_storage(const QuantConfig& quant,
                           const DialectMark* mark,
                           bool comfy,
                           std::vector<std::string>& reasons);

/// Where padding makes the two orders differ in size, stored shapes decide against a habit: for their layers, and for
/// all layers when no shape speaks for the habit. Modules must have passed check_nvfp4_module. Adds its reason.
void follow_shapes(const std::map<std::string, StoredModule>& modules,
                   Nvfp4Storage& storage,
                   std::vector<std::string>& reasons);

/// The order of one layer's block scales. Errors: wrong_shape, also where the shape contradicts the config.
ScaleLayout scale_layout_of(const StoredModule& module, const Nvfp4Storage& storage);

}  // namespace ditq
