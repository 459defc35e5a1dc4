// Wan 2.1 and 2.2 (Alibaba). SGLang has no FP8 profile for it: ModelOpt's own ignore list decides.
// Sources: diffusers models/transformers/transformer_wan.py @ 0.39.0 (names and sizes).

#include "family/registry.h"

namespace ditq {

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
  };
  return spec;
}

}  // namespace ditq
