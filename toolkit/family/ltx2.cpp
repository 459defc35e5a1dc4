// LTX-2 (Lightricks): video and sound in one transformer. ModelOpt exports it merged with its VAEs and vocoder.
// Sources: sglang multimodal_gen/tools/build_modelopt_fp8_transformer.py @ 8c703f215 (merged export, patterns).

#include "family/registry.h"

namespace ditq {
namespace {

// First and last blocks, which stay in BF16.
constexpr const char* kEdgeBlocks = R"(^transformer_blocks\.(0|43|44|45|46|47)\.)";
constexpr const char* kAttentions =
    "(attn1|attn2|audio_attn1|audio_attn2|audio_to_video_attn|video_to_audio_attn)";
constexpr const char* kCrossModulation =
    "^av_ca_(a2v_gate|audio_scale_shift|v2a_gate|video_scale_shift)_adaln_single";

std::vector<std::string> fallback_patterns() {
  const std::string edge = kEdgeBlocks;
  const std::string attentions = kAttentions;
  const std::string cross = kCrossModulation;
  return {
      R"(^(audio_)?adaln_single\.emb\.timestep_embedder\.linear_[12]$)",
      R"(^(audio_)?adaln_single\.linear$)",
      R"(^audio_caption_projection\.linear_[12]$)",
      R"(^audio_patchify_proj$)",
      R"(^audio_proj_out$)",
      cross + R"(\.emb\.timestep_embedder\.linear_[12]$)",
      cross + R"(\.linear$)",
      R"(^caption_projection\.linear_[12]$)",
      R"(^patchify_proj$)",
      R"(^proj_out$)",
      edge + attentions + R"(\.to_(q|k|v)$)",
      edge + attentions + R"(\.to_out\.0$)",
      edge + R"((ff|audio_ff)\.proj_(in|out)$)",
  };
}

}  // namespace

const FamilySpec& ltx2_family() {
  static const FamilySpec spec = {
      .name = "ltx2",
      .title = "LTX-2",
      .model_type = "ltx2",
      .class_names = {"LTX2VideoTransformer3DModel", "X0Model"},
      // Only the merged export takes this profile by itself.
      .profile_by_class = false,
      .fp8_fallback = fallback_patterns(),
      .merged_export =
          MergedExport{
              .class_name = "X0Model",
              .prefix = "model.diffusion_model.",
              .excluded_prefixes = {"model.diffusion_model.audio_embeddings_connector.",
                                    "model.diffusion_model.video_embeddings_connector."},
              .metadata_key = "config",
              .metadata_member = "transformer",
              .output_class_name = "LTX2VideoTransformer3DModel",
              .checkpoint_prefix = "velocity_model.",
          },
      .dialects = {{"original (merged)",
                    {"model.diffusion_model.audio_patchify_proj.weight",
                     "model.diffusion_model.patchify_proj.weight"}},
                   {"original", {"audio_patchify_proj.weight", "patchify_proj.weight"}},
                   {"diffusers", {"audio_proj_in.weight", "proj_in.weight"}}},
  };
  return spec;
}

}  // namespace ditq
