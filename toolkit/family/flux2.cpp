// FLUX.2 (Black Forest Labs).
// Sources: diffusers models/transformers/transformer_flux2.py @ 0.39.0 (names);
// sglang multimodal_gen/tools/build_modelopt_fp8_transformer.py @ 8c703f215 (fallback patterns).

#include "family/registry.h"

namespace ditq {

const FamilySpec& flux2_family() {
  static const FamilySpec spec = {
      .name = "flux2",
      .title = "FLUX.2",
      .model_type = "flux2",
      .class_names = {"Flux2Transformer2DModel"},
      .fp8_fallback =
          {
              R"(^time_guidance_embed\.(timestep_embedder|guidance_embedder)\.linear_[12]$)",
              R"(^double_stream_modulation_(img|txt)\.linear$)",
              R"(^single_stream_modulation\.linear$)",
              R"(^x_embedder$)",
              R"(^context_embedder$)",
              R"(^norm_out\.linear$)",
          },
      .dialects = {{"diffusers",
                    {"double_stream_modulation_img.linear.weight", "context_embedder.weight"}},
                   {"bfl", {"double_stream_modulation_img.lin.weight", "txt_in.weight"}},
                   {"comfy",
                    {"model.diffusion_model.double_stream_modulation_img.lin.weight",
                     "model.diffusion_model.txt_in.weight"}}},
      .variants = {{.name = "dev",
                    .tensor = "x_embedder.weight",
                    .shape = {6144, 128},
                    .config = {{"num_layers", 8}, {"num_single_layers", 48}},
                    .defaults = {.steps = 50, .guidance = 4.0}}},
  };
  return spec;
}

}  // namespace ditq
