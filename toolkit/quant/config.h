#pragma once
// quantization_config as checkpoints of this field carry it, resolved to what a loader needs to know.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace ditq {

/// The encodings that a checkpoint can declare.
enum class Scheme {
  none,               ///< no quantization declared
  fp8,                ///< ModelOpt FP8: E4M3 weights, one f32 scale a tensor, static input scale
  fp8_channel_token,  ///< E4M3 weights, one f32 scale a row; activations scaled row by row at run time
  nvfp4,  ///< ModelOpt NVFP4: E2M1 in blocks of 16 with E4M3 block scales and one f32 scale
};

/// "bf16", "fp8", "fp8-channel-token" or "nvfp4", as `inspect` and perf.json print it.
std::string_view name(Scheme scheme);

/// Order of NVFP4 block scales in a file.
enum class ScaleLayout {
  linear,    ///< [N, K/16], row by row
  swizzled,  ///< tiles of 128 rows and 4 columns (quant/nvfp4.h)
};

/// "linear" or "swizzled", as configs spell it.
std::string_view name(ScaleLayout layout);

/// What an NVFP4 config says about how the tensors are stored; nothing where it says nothing.
struct Nvfp4Declaration {
  std::optional<std::int64_t> group_size;   ///< always 16 where it is given
  std::optional<bool> swap_weight_nibbles;  ///< the high nibble holds the even column
  std::optional<bool> packed_qkv;           ///< q, k and v are one tensor
  std::optional<ScaleLayout> scale_layout;
  bool svdquant = false;  ///< declared as NVFP4_SVD
};

/// Most entries of an ignore list: each is held against every module. Real lists have at most some hundred.
inline constexpr std::size_t kMaxIgnoreEntries = 20'000;

/// A quantization_config, normalised.
struct QuantConfig {
  Scheme scheme = Scheme::none;
  Nvfp4Declaration nvfp4;
  std::string quant_algo;           ///< as written, or empty
  std::vector<std::string> ignore;  ///< module names; '*' stands for any characters
  std::string source;               ///< where it was found, for people

  /// Whether some ignore entry matches the whole module name: literal text except '*' (SGLang bridge 4.3).
  bool ignores(std::string_view module) const;
};

/// Reads a quantization_config object (flat, or with a nested `quantization`). `path` names the document in errors.
/// FP8, FP8_PER_CHANNEL_PER_TOKEN and NVFP4 (also as NVFP4_SVD, ModelOpt's SVDQuant) are loaded, in any case of letters.
/// Errors: json_type; unsupported for ModelOpt's other algorithms (MXFP8, NVFP4_AWQ, W4A16_NVFP4, …) and for a block
/// size other than 16; bad_config for block sizes that contradict each other and for more than kMaxIgnoreEntries;
/// wrong_quant_method for any other method or algorithm, and for a method that contradicts its algorithm (SGLang bridge
/// 4.2, the newer, exact rules).
QuantConfig parse_quant_config(const Json& config, const std::string& path);

}  // namespace ditq
