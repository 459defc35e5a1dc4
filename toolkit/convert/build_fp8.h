#pragma once
// ModelOpt FP8 export to SGLang-native FP8 transformer: what `ditq build-fp8` does. The output equals, tensor by tensor
// and document by document, what SGLang's build_modelopt_fp8_transformer writes (bridge reference, section 2).

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "convert/shard_pipeline.h"

namespace ditq {

/// Which layers of a family stay in BF16 where SGLang's documentation and its code differ (FLUX.1 alone).
enum class FallbackSet {
  documented,  ///< as documented: FLUX.1 keeps single_transformer_blocks.*.proj_mlp in BF16 too
  upstream,    ///< as SGLang's code does
};

/// One value per flag; strings are as the user typed them ("~" allowed).
struct BuildFp8Request {
  std::string modelopt_hf_dir;         ///< export folder, or the folder whose transformer/ it is
  std::string modelopt_backbone_ckpt;  ///< the torch checkpoint, or a folder with backbone.pt
  std::string output_dir;              ///< created; parents too
  std::string base_transformer_dir;    ///< the BF16 transformer or its parent; empty: none
  std::string model_type = "auto";     ///< one of fp8_model_types()
  std::vector<std::string> keep_bf16_patterns;  ///< Python regular expressions on module names
  double maxbound = 448.0;                      ///< divisor that turns an amax into a scale
  bool overwrite = false;                       ///< replace an existing folder
  FallbackSet fallback_set = FallbackSet::documented;
  PipelineLimits limits;  ///< threads and memory; the output does not depend on them
};

/// What was done; the counts that SGLang's builder prints.
struct BuildFp8Statistics {
  std::uint64_t added_scale_tensors = 0;
  std::uint64_t bf16_fallback_weights = 0;
  std::uint64_t output_shards = 0;
  std::uint64_t preserved_ignored_weights = 0;
  std::uint64_t quantized_weights = 0;
};

/// Spellings of --model-type: "auto", one per family with a profile, "none".
std::vector<std::string> fp8_model_types();

/// The fallback set of that spelling ("documented", "upstream"). Errors: usage.
FallbackSet parse_fallback_set(std::string_view spelling);

/// Converts. Everything is checked before anything is written; the output folder appears complete or not at all, and an
/// existing one is replaced only by a complete one. What a run that was stopped had finished is used again
/// (convert/write_output.h). Progress and warnings go to stderr (base/progress.h, base/log.h).
/// Errors, all before the first write: usage, bad_pattern, file_not_found, file_unreadable, json_syntax, json_type,
/// not_quantized, wrong_quant_method, unsupported, bad_config, output_exists, output_overlaps, output_busy, the codes of
/// Checkpoint::open and read_torch_checkpoint, missing_tensor, wrong_shape, wrong_dtype, bad_scale,
/// weight_without_scale, scale_without_weight, family_mismatch, storage (not enough space).
/// While writing: storage, file_changed, not_a_number (a weight exceeds its amax so far that its code would be NaN),
/// interrupted; the output is then as it was before.
BuildFp8Statistics build_fp8(const BuildFp8Request& request);

/// The statistics as the JSON text that goes to stdout (two spaces, sorted keys, no newline at the end).
std::string to_json_text(const BuildFp8Statistics& statistics);

}  // namespace ditq
