#pragma once
// ModelOpt's quantization presets as ordered rules over quantizer names.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ptq/models.h"

namespace ditq {

/// What a quantizer turns values into.
enum class Element {
  int8,   ///< ModelOpt's default for quantizers that no rule configures; never enabled here
  fp8,    ///< E4M3, one scale for the tensor
  nvfp4,  ///< E2M1 with E4M3 scales of blocks and one float32 scale for the tensor
};

/// Whether and how a rule configures the quantizers that it matches.
struct QuantizerConfig {
  Element element = Element::int8;
  std::int64_t block = 0;  ///< values that share a scale; NVFP4 only
  bool operator==(const QuantizerConfig&) const = default;
};

/// One entry of a quant_cfg. Later ones win; one with a config replaces everything, one without toggles.
struct QuantizerRule {
  std::string pattern;                    ///< shell wildcard on quantizer paths
  std::optional<QuantizerConfig> config;  ///< nothing: only the flag changes
  bool enable = false;
  bool layer_norms_only = false;  ///< parent_class "nn.LayerNorm"
};

/// --quant-algo.
enum class CalibrationAlgorithm { max, svdquant };

/// What is to be made of a model.
struct QuantizeRecipe {
  Element format = Element::fp8;
  CalibrationAlgorithm algorithm = CalibrationAlgorithm::max;
  std::int64_t lowrank = 32;     ///< SVDQuant's rank
  std::int64_t block_size = 16;  ///< NVFP4's blocks
  bool quantize_mha = false;     ///< FP8 quantizers on q, k and v
};

/// Fewest blocks that a model with a block range must have.
inline constexpr std::int64_t kLeastBlocks = 6;

/// The rules of a recipe for a model; `blocks`: its transformer blocks, for models with a block range.
/// Errors: bad_config (fewer than kLeastBlocks). Source: ModelOpt reference 2.2, 2.5.
std::vector<QuantizerRule> preset_rules(const QuantizeModel& model,
                                        const QuantizeRecipe& recipe,
                                        std::int64_t blocks);

/// "fp8" or "fp4". Errors: unsupported ("int8", "nvfp4" with the spelling that is meant), usage.
Element parse_format(const std::string& spelling);

/// "max" or "svdquant". Errors: unsupported ("smoothquant"), usage.
CalibrationAlgorithm parse_algorithm(const std::string& spelling);

}  // namespace ditq
