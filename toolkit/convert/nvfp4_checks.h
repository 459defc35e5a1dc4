#pragma once
// What an NVFP4 conversion refuses and what it warns about. Reasons, case by case:
// docs/formats/decisions.md.

#include <map>
#include <string>
#include <vector>

#include "convert/nvfp4_source.h"

namespace ditq {

/// A module of the export: everything that its tensors share a name with.
struct Nvfp4Module {
  std::map<std::string, const TensorInfo*>
      tensors;            ///< by suffix, such as ".weight"; "" the name itself
  bool matched = false;   ///< a pattern names it
  bool fallback = false;  ///< and the base has a tensor of it

  /// The tensor with this suffix, or nullptr.
  const TensorInfo* find(const std::string& suffix) const;
  /// Whether its weight is stored as packed bytes.
  bool is_quantized() const;
};

using Nvfp4Modules = std::map<std::string, Nvfp4Module>;  ///< by name

/// The module of a tensor's name: without one trailing .weight_scale_2, .weight_scale,
/// .input_scale, .weight or .bias.
/// Source: bridge reference 3.2, step 5.
std::string nvfp4_module_of(const std::string& tensor);

/// The modules of the export, without tensors of quantizers.
Nvfp4Modules nvfp4_modules(const Checkpoint& checkpoint);

/// Checks what stays quantized (scales that are there, fit and are numbers) and what the base
/// replaces.
/// Errors: unsupported, not_quantized, missing_tensor, wrong_shape, wrong_dtype, bad_scale,
/// weight_without_scale, scale_without_weight.
void check_nvfp4_modules(const Nvfp4Modules& modules, const Nvfp4Source& source);

/// Warns about BF16 modules that loaders would take for NVFP4, since they read `ignore` less
/// generously than patterns are matched (bridge reference 4.3).
void warn_of_unignored(const Nvfp4Modules& modules, const std::vector<std::string>& ignore);

}  // namespace ditq
