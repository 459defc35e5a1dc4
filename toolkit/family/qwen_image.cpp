// Qwen-Image and Qwen-Image-Edit (Alibaba).
// Sources: diffusers models/transformers/transformer_qwenimage.py @ 0.39.0 (names and sizes);
// sglang multimodal_gen/tools/build_modelopt_fp8_transformer.py @ 8c703f215 (fallback patterns).

#include "family/registry.h"

namespace ditq {
namespace {

QuantFacts quant_facts() {
  const std::string block = "transformer_blocks.#.";
  return {.definition_order =
              {
                  "time_text_embed.timestep_embedder.linear_1",
                  "time_text_embed.timestep_embedder.linear_2",
                  "time_text_embed.addition_t_embedding",
                  "txt_norm",
                  "img_in",
                  "txt_in",
                  block + "img_mod.1",
                  block + "img_norm1",
                  block + "attn.norm_q",
                  block + "attn.norm_k",
                  block + "attn.to_q",
                  block + "attn.to_k",
                  block + "attn.to_v",
                  block + "attn.add_k_proj",
                  block + "attn.add_v_proj",
                  block + "attn.add_q_proj",
                  block + "attn.to_out.0",
                  block + "attn.to_add_out",
                  block + "attn.norm_added_q",
                  block + "attn.norm_added_k",
                  block + "img_norm2",
                  block + "img_mlp.net.0.proj",
                  block + "img_mlp.net.2",
                  block + "txt_mod.1",
                  block + "txt_norm1",
                  block + "txt_norm2",
                  block + "txt_mlp.net.0.proj",
                  block + "txt_mlp.net.2",
                  "norm_out.linear",
                  "norm_out.norm",
                  "proj_out",
              },
          .norms = {{block + "img_norm1", block + "img_mod.1"},
                    {block + "img_norm2", block + "img_mod.1"},
                    {block + "txt_norm1", block + "txt_mod.1"},
                    {block + "txt_norm2", block + "txt_mod.1"},
                    {"norm_out.norm", "norm_out.linear"}},
          .attentions = {{block + "attn", block + "attn.to_q"}},
          .shared_inputs = {{block + "attn.to_q", block + "attn.to_k", block + "attn.to_v"},
                            {block + "attn.add_q_proj", block + "attn.add_k_proj",
                             block + "attn.add_v_proj"}},
          .config_defaults = [] {
            return Json{{"attention_head_dim", 128},
                        {"axes_dims_rope", {16, 56, 56}},
                        {"guidance_embeds", false},
                        {"in_channels", 64},
                        {"joint_attention_dim", 3584},
                        {"num_attention_heads", 24},
                        {"num_layers", 60},
                        {"out_channels", 16},
                        {"patch_size", 2},
                        {"use_additional_t_cond", false},
                        {"use_layer3d_rope", false},
                        {"zero_cond_t", false}};
          }};
}

}  // namespace

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
      .quant = quant_facts(),
  };
  return spec;
}

}  // namespace ditq
