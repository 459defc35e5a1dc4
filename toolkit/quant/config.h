#pragma once
// quantization_config as checkpoints of this field carry it, resolved to what a loader needs to know.

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace ditq {

/// The encodings that a checkpoint can declare.
enum class Scheme {
  none,   ///< no quantization declared
  fp8,    ///< ModelOpt FP8: E4M3 weights, one f32 scale a tensor, static input scale
  nvfp4,  ///< ModelOpt NVFP4: E2M1 in blocks of 16 with E4M3 block scales and one f32 scale
};

/// "bf16", "fp8" or "nvfp4", as `inspect` and perf.json print it.
std::string_view name(Scheme scheme);

/// A quantization_config, normalised.
struct QuantConfig {
  Scheme scheme = Scheme::none;
  std::string quant_algo;           ///< as written, or empty
  std::vector<std::string> ignore;  ///< module names; '*' stands for any characters
  std::string source;               ///< where it was found, for people

  /// Whether some ignore entry matches the whole module name: literal text except '*' (SGLang bridge 4.3).
  bool ignores(std::string_view module) const;
};

/// Reads a quantization_config object (flat, or with a nested `quantization`). `path` names the document in errors.
/// Errors: json_type; wrong_quant_method for a method or algorithm that ditq does not load, naming both
/// (SGLang bridge 4.2, the newer, exact rules).
QuantConfig parse_quant_config(const Json& config, const std::string& path);

}  // namespace ditq
