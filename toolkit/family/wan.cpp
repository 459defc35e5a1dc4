// Wan 2.1 and 2.2 (Alibaba). SGLang has no FP8 profile for it: ModelOpt's own ignore list decides.
// Sources: diffusers models/transformers/transformer_wan.py @ 0.39.0 (names and sizes).

#include "family/registry.h"

namespace ditq {
namespace {

/// Its norms override LayerNorm's forward, so ModelOpt leaves them alone.
QuantFacts quant_facts() {
  const std::string block = "blocks.#.";
  return {.definition_order =
              {
                  "scale_shift_table",
                  "patch_embedding",
                  "condition_embedder.time_embedder.linear_1",
                  "condition_embedder.time_embedder.linear_2",
                  "condition_embedder.time_proj",
                  "condition_embedder.text_embedder.linear_1",
                  "condition_embedder.text_embedder.linear_2",
                  "condition_embedder.image_embedder.norm1",
                  "condition_embedder.image_embedder.ff.net.0.proj",
                  "condition_embedder.image_embedder.ff.net.2",
                  "condition_embedder.image_embedder.norm2",
                  block + "scale_shift_table",
                  block + "attn1.to_q",
                  block + "attn1.to_k",
                  block + "attn1.to_v",
                  block + "attn1.to_out.0",
                  block + "attn1.norm_q",
                  block + "attn1.norm_k",
                  block + "attn2.to_q",
                  block + "attn2.to_k",
                  block + "attn2.to_v",
                  block + "attn2.to_out.0",
                  block + "attn2.norm_q",
                  block + "attn2.norm_k",
                  block + "attn2.add_k_proj",
                  block + "attn2.add_v_proj",
                  block + "attn2.norm_added_k",
                  block + "norm2",
                  block + "ffn.net.0.proj",
                  block + "ffn.net.2",
                  "proj_out",
              },
          .attentions = {{block + "attn1", block + "attn1.to_q"},
                         {block + "attn2", block + "attn2.to_q"}},
          .shared_inputs = {{block + "attn1.to_q", block + "attn1.to_k", block + "attn1.to_v"},
                            {block + "attn2.to_k", block + "attn2.to_v"},
                            {block + "attn2.add_k_proj", block + "attn2.add_v_proj"}},
          .keep_f32 = {"time_embedder", "scale_shift_table", "norm1", "norm2", "norm3"},
          .config_defaults = [] {
            return Json{{"added_kv_proj_dim", nullptr},
                        {"attention_head_dim", 128},
                        {"cross_attn_norm", true},
                        {"eps", 1e-06},
                        {"ffn_dim", 13824},
                        {"freq_dim", 256},
                        {"image_dim", nullptr},
                        {"in_channels", 16},
                        {"num_attention_heads", 40},
                        {"num_layers", 40},
                        {"out_channels", 16},
                        {"patch_size", {1, 2, 2}},
                        {"pos_embed_seq_len", nullptr},
                        {"qk_norm", "rms_norm_across_heads"},
                        {"rope_max_seq_len", 1024},
                        {"text_dim", 4096}};
          }};
}

}  // namespace

const FamilySpec& wan_family() {
  static const FamilySpec spec = {
      .name = "wan",
      .title = "Wan",
      .model_type = "",
      .class_names = {"WanTransformer3DModel"},
      .dialects = {{"diffusers",
                    {"blocks.0.attn1.to_q.weight", "condition_embedder.time_proj.weight"}},
                   {"original", {"blocks.0.self_attn.q.weight", "time_projection.1.weight"}},
                   {"comfy",
                    {"model.diffusion_model.blocks.0.self_attn.q.weight",
                     "model.diffusion_model.time_projection.1.weight"}}},
      .variants = {{.name = "2.2-T2V-A14B (one expert)",
                    .tensor = "patch_embedding.weight",
                    .shape = {5120, 16, 1, 2, 2},
                    .config = {{"num_layers", 40}},
                    .defaults = {.steps = 40, .guidance = 4.0}},
                   {.name = "2.2-TI2V-5B",
                    .tensor = "patch_embedding.weight",
                    .shape = {3072, 48, 1, 2, 2},
                    .config = {{"num_layers", 30}},
                    .defaults = {.steps = 50, .guidance = 5.0}}},
      .quant = quant_facts(),
  };
  return spec;
}

}  // namespace ditq
