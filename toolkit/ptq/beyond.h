#pragma once
// What `ditq quantize` offers beyond ModelOpt: off by default, and named under the key `ditq` of what it writes, so that
// nobody takes the result for ModelOpt's.

#include <memory>
#include <string>

#include "base/json.h"
#include "convert/tensor_recipe.h"
#include "format/tensor_info.h"
#include "ptq/presets.h"
#include "ptq/recipes.h"
#include "quant/arithmetic.h"
#include "quant/clip.h"

namespace ditq {

/// The choices.
struct BeyondModelopt {
  bool channel_token =
      false;        ///< FP8 with a scale for each output channel, activations scaled at run time
  WeightClip clip;  ///< how weights' amax are chosen
  bool weights_only = false;  ///< from the weights alone, without a calibration

  bool any() const;
};

/// --granularity: whether "channel-token"; "tensor" is ModelOpt's. Errors: usage.
bool parse_granularity(const std::string& spelling);

/// Errors: usage, for a format or an algorithm that does not go with the choices. Weights alone are enough for
/// channel-token only: FP8 and NVFP4 layers carry a static input scale, without which no reader of ModelOpt's exports
/// loads them.
void check_beyond(const BeyondModelopt& beyond, Element format, CalibrationAlgorithm algorithm);

/// {"granularity", "weight_clip", "weights_only"}: the choices that are not ModelOpt's; null where all are.
Json beyond_document(const BeyondModelopt& beyond);

/// Makes a quantization_config say what the tensors are: quant_algo FP8_PER_CHANNEL_PER_TOKEN with dynamic activations,
/// and the key `ditq`. Source: vLLM layers/quantization/modelopt.py @ 00155cd (ModelOptFp8Config).
void amend_config(const BeyondModelopt& beyond, Json& quantization_config);

/// Codes [N, K] and scales [N] of a weight with a scale for each row: scale = amax of the row (as `clip` chooses it) / 448
/// as the device computes it, 1 for a row of zeros; codes = E4M3(clamp(f32(w) / scale, ±448)), without the rounding to the
/// weight's dtype, since a divisor with dimensions is not rounded either. `columns`: K.
/// Source: ModelOpt torch/export/quant_utils.py (QUANTIZATION_FP8_PC_PT).
/// Errors of the recipes: not_a_number (NaN or infinity in the weight).
std::shared_ptr<const TensorRecipe> fp8_channel_codes_recipe(const WeightPath& path,
                                                             std::int64_t columns,
                                                             const WeightClip& clip,
                                                             Arithmetic arithmetic);
std::shared_ptr<const TensorRecipe> fp8_channel_scales_recipe(const WeightPath& path,
                                                              std::int64_t columns,
                                                              const WeightClip& clip,
                                                              Arithmetic arithmetic);

/// Codes of a weight with one chosen scale: E4M3(clamp(f32(w) / scale, ±448)).
/// Errors of the recipe: not_a_number (NaN in the weight).
std::shared_ptr<const TensorRecipe> fp8_clamped_recipe(const WeightPath& path, float scale);

/// The amax that `clip` chooses for a whole weight [N, K], read piece by piece. Errors: as InputFile::read.
float clipped_weight_amax(const WeightClip& clip,
                          Element format,
                          const TensorInfo& weight,
                          const WeightPath& path);

}  // namespace ditq
