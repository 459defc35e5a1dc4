// Qwen-Image and Qwen-Image-Edit (Alibaba).
// Sources: diffusers models/transformers/transformer_qwenimage.py @ 0.39.0 (names and sizes);
// sglang multimodal_gen/tools/build_modelopt_fp8_transformer.py @ 8c703f215 (fallback patterns).

#include "family/registry.h"

namespace ditq {

const FamilySpec& qwen_image_family() {
  static const FamilySpec spec = {
      .name = "qwen-image",
      .title = "Qwen-Image",
      .model_type = "qwen-image",
      .class_names = {"QwenImageTransformer2DModel"},
      .fp8_fallback =
          {
              R"(^img_in$)",
              R"(^txt_in$)",
              R"(^time_text_embed\.timestep_embedder\.linear_[12]$)",
              R"(^norm_out\.linear$)",
              R"(^proj_out$)",
              R"(^transformer_blocks\.\d+\.img_mlp\.net\.2$)",
              R"(^transformer_blocks\.\d+\.(img_mod|txt_mod)$)",
          },
      .dialects = {{"diffusers", {"transformer_blocks.0.img_mod.1.weight", "txt_norm.weight"}},
                   {"comfy",
                    {"model.diffusion_model.transformer_blocks.0.img_mod.1.weight",
                     "model.diffusion_model.txt_norm.weight"},
                    "model.diffusion_model.",
                    {},
                    /*packed_nvfp4=*/true}},
      .variants = {{.name = "Edit-2511",
                    .tensor = "txt_in.weight",
                    .shape = {3072, 3584},
                    .config = {{"zero_cond_t", 1}},
                    .only_by_config = true,
                    .defaults = {.steps = 50, .guidance = 4.0}},
                   {.name = "Image, or an Edit of the same shape",
                    .tensor = "txt_in.weight",
                    .shape = {3072, 3584},
                    .defaults = {.steps = 50, .guidance = 4.0}}},
  };
  return spec;
}

}  // namespace ditq
