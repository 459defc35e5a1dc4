#pragma once
// ModelOpt NVFP4 export to mixed BF16 + NVFP4 transformer: what `ditq build-nvfp4` does. The output
// equals, tensor by tensor and document by document, what SGLang's build_modelopt_nvfp4_transformer
// writes (bridge reference, section 3).

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "convert/shard_pipeline.h"

namespace ditq {

/// One value per flag; strings are as the user typed them ("~" allowed).
struct BuildNvfp4Request {
  std::string base_transformer_dir;     ///< the BF16 transformer or its parent
  std::string modelopt_hf_dir;          ///< export folder, or the folder whose transformer/ it is
  std::string output_dir;               ///< created; parents too
  std::string pattern_preset = "none";  ///< one of nvfp4_presets()
  /// Module names in which '*' stands for any characters and '.' for itself; all else is a Python
  /// regular expression, and whole names match.
  std::vector<std::string> keep_bf16_patterns;
  /// What the output's config says; unset: false with a preset, true without, as sglang 0.5.12.
  std::optional<bool> swap_weight_nibbles;
  bool overwrite = false;  ///< replace an existing folder
  PipelineLimits limits;   ///< threads and memory; the output does not depend on them
};

/// What was done; the values that SGLang's builder prints.
struct BuildNvfp4Statistics {
  std::uint64_t fallback_modules = 0;
  std::uint64_t output_shards = 0;
  std::uint64_t removed_aux_tensors = 0;
  std::uint64_t replaced_tensors = 0;
  bool swap_weight_nibbles = false;
};

/// Spellings of --pattern-preset: "none", one per family with a preset.
std::vector<std::string> nvfp4_presets();

/// Converts. Everything is checked before anything is written; the output folder appears complete
/// or not at all, and an existing one is replaced only by a complete one. What a run that was
/// stopped had finished is used again (convert/write_output.h). Progress and warnings go to stderr.
/// Errors, all before the first write: usage, bad_pattern, pattern_too_costly, file_not_found,
/// file_unreadable, json_syntax, json_type, not_quantized, wrong_quant_method, unsupported,
/// output_exists, output_overlaps, output_busy, the codes of Checkpoint::open, missing_tensor,
/// wrong_shape, wrong_dtype, bad_scale, weight_without_scale, scale_without_weight,
/// family_mismatch, storage (not enough space). While writing: storage, file_changed, interrupted;
/// the output is then as it was before.
BuildNvfp4Statistics build_nvfp4(const BuildNvfp4Request& request);

/// The statistics as the JSON text that goes to stdout (two spaces, sorted keys, no newline at the
/// end).
std::string to_json_text(const BuildNvfp4Statistics& statistics);

}  // namespace ditq
