// HunyuanVideo (Tencent).
// Sources: diffusers models/transformers/transformer_hunyuan_video.py @ 0.39.0 (names and sizes);
// sglang multimodal_gen/tools/build_modelopt_fp8_transformer.py and configs/models/dits/hunyuanvideo.py @ 8c703f215
// (fallback patterns, runtime names).

#include "family/registry.h"

namespace ditq {
namespace {

// SGLang runs q, k and v as one layer, and the MLP input of a single block with them: several diffusers names share one
// runtime name.
std::vector<NameRule> runtime_names() {
  return {
      {R"(^context_embedder\.time_text_embed\.timestep_embedder\.linear_1$)",
       R"(txt_in.t_embedder.mlp.fc_in)"},
      {R"(^context_embedder\.time_text_embed\.timestep_embedder\.linear_2$)",
       R"(txt_in.t_embedder.mlp.fc_out)"},
      {R"(^context_embedder\.proj_in$)", R"(txt_in.input_embedder)"},
      {R"(^context_embedder\.time_text_embed\.text_embedder\.linear_1$)",
       R"(txt_in.c_embedder.fc_in)"},
      {R"(^context_embedder\.time_text_embed\.text_embedder\.linear_2$)",
       R"(txt_in.c_embedder.fc_out)"},
      {R"(^context_embedder\.token_refiner\.refiner_blocks\.(\d+)\.norm1$)",
       R"(txt_in.refiner_blocks.\1.norm1)"},
      {R"(^context_embedder\.token_refiner\.refiner_blocks\.(\d+)\.norm2$)",
       R"(txt_in.refiner_blocks.\1.norm2)"},
      {R"(^context_embedder\.token_refiner\.refiner_blocks\.(\d+)\.attn\.to_[qkv]$)",
       R"(txt_in.refiner_blocks.\1.self_attn_qkv)"},
      {R"(^context_embedder\.token_refiner\.refiner_blocks\.(\d+)\.attn\.to_out\.0$)",
       R"(txt_in.refiner_blocks.\1.self_attn_proj)"},
      {R"(^context_embedder\.token_refiner\.refiner_blocks\.(\d+)\.ff\.net\.0(?:\.proj)?$)",
       R"(txt_in.refiner_blocks.\1.mlp.fc_in)"},
      {R"(^context_embedder\.token_refiner\.refiner_blocks\.(\d+)\.ff\.net\.2(?:\.proj)?$)",
       R"(txt_in.refiner_blocks.\1.mlp.fc_out)"},
      {R"(^context_embedder\.token_refiner\.refiner_blocks\.(\d+)\.norm_out\.linear$)",
       R"(txt_in.refiner_blocks.\1.adaLN_modulation.linear)"},
      {R"(^x_embedder\.proj$)", R"(img_in.proj)"},
      {R"(^time_text_embed\.timestep_embedder\.linear_1$)", R"(time_in.mlp.fc_in)"},
      {R"(^time_text_embed\.timestep_embedder\.linear_2$)", R"(time_in.mlp.fc_out)"},
      {R"(^time_text_embed\.guidance_embedder\.linear_1$)", R"(guidance_in.mlp.fc_in)"},
      {R"(^time_text_embed\.guidance_embedder\.linear_2$)", R"(guidance_in.mlp.fc_out)"},
      {R"(^time_text_embed\.text_embedder\.linear_1$)", R"(vector_in.fc_in)"},
      {R"(^time_text_embed\.text_embedder\.linear_2$)", R"(vector_in.fc_out)"},
      {R"(^transformer_blocks\.(\d+)\.norm1\.linear$)", R"(double_blocks.\1.img_mod.linear)"},
      {R"(^transformer_blocks\.(\d+)\.norm1_context\.linear$)",
       R"(double_blocks.\1.txt_mod.linear)"},
      {R"(^transformer_blocks\.(\d+)\.attn\.norm_q$)", R"(double_blocks.\1.img_attn_q_norm)"},
      {R"(^transformer_blocks\.(\d+)\.attn\.norm_k$)", R"(double_blocks.\1.img_attn_k_norm)"},
      {R"(^transformer_blocks\.(\d+)\.attn\.to_[qkv]$)", R"(double_blocks.\1.img_attn_qkv)"},
      {R"(^transformer_blocks\.(\d+)\.attn\.add_[qkv]_proj$)", R"(double_blocks.\1.txt_attn_qkv)"},
      {R"(^transformer_blocks\.(\d+)\.attn\.to_out\.0$)", R"(double_blocks.\1.img_attn_proj)"},
      {R"(^transformer_blocks\.(\d+)\.attn\.to_add_out$)", R"(double_blocks.\1.txt_attn_proj)"},
      {R"(^transformer_blocks\.(\d+)\.attn\.norm_added_q$)", R"(double_blocks.\1.txt_attn_q_norm)"},
      {R"(^transformer_blocks\.(\d+)\.attn\.norm_added_k$)", R"(double_blocks.\1.txt_attn_k_norm)"},
      {R"(^transformer_blocks\.(\d+)\.ff\.net\.0(?:\.proj)?$)",
       R"(double_blocks.\1.img_mlp.fc_in)"},
      {R"(^transformer_blocks\.(\d+)\.ff\.net\.2(?:\.proj)?$)",
       R"(double_blocks.\1.img_mlp.fc_out)"},
      {R"(^transformer_blocks\.(\d+)\.ff_context\.net\.0(?:\.proj)?$)",
       R"(double_blocks.\1.txt_mlp.fc_in)"},
      {R"(^transformer_blocks\.(\d+)\.ff_context\.net\.2(?:\.proj)?$)",
       R"(double_blocks.\1.txt_mlp.fc_out)"},
      {R"(^single_transformer_blocks\.(\d+)\.attn\.norm_q$)", R"(single_blocks.\1.q_norm)"},
      {R"(^single_transformer_blocks\.(\d+)\.attn\.norm_k$)", R"(single_blocks.\1.k_norm)"},
      {R"(^single_transformer_blocks\.(\d+)\.attn\.to_[qkv]$)", R"(single_blocks.\1.linear1)"},
      {R"(^single_transformer_blocks\.(\d+)\.proj_mlp$)", R"(single_blocks.\1.linear1)"},
      {R"(^single_transformer_blocks\.(\d+)\.proj_out$)", R"(single_blocks.\1.linear2)"},
      {R"(^single_transformer_blocks\.(\d+)\.norm\.linear$)",
       R"(single_blocks.\1.modulation.linear)"},
      {R"(^norm_out\.linear$)", R"(final_layer.adaLN_modulation.linear)"},
      {R"(^proj_out$)", R"(final_layer.linear)"},
  };
}

/// ModelOpt's export cannot run this class, so q, k and v keep scales of their own.
QuantFacts quant_facts() {
  const std::string context = "context_embedder.";
  const std::string refiner = context + "token_refiner.refiner_blocks.#.";
  const std::string block = "transformer_blocks.#.";
  const std::string single = "single_transformer_blocks.#.";
  return {.definition_order =
              {
                  "x_embedder.proj",
                  context + "time_text_embed.timestep_embedder.linear_1",
                  context + "time_text_embed.timestep_embedder.linear_2",
                  context + "time_text_embed.text_embedder.linear_1",
                  context + "time_text_embed.text_embedder.linear_2",
                  context + "proj_in",
                  refiner + "norm1",
                  refiner + "attn.to_q",
                  refiner + "attn.to_k",
                  refiner + "attn.to_v",
                  refiner + "attn.to_out.0",
                  refiner + "norm2",
                  refiner + "ff.net.0.proj",
                  refiner + "ff.net.2",
                  refiner + "norm_out.linear",
                  "time_text_embed.timestep_embedder.linear_1",
                  "time_text_embed.timestep_embedder.linear_2",
                  "time_text_embed.text_embedder.linear_1",
                  "time_text_embed.text_embedder.linear_2",
                  "time_text_embed.guidance_embedder.linear_1",
                  "time_text_embed.guidance_embedder.linear_2",
                  block + "norm1.linear",
                  block + "norm1.norm",
                  block + "norm1_context.linear",
                  block + "norm1_context.norm",
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
                  block + "norm2",
                  block + "norm2_context",
                  block + "ff.net.0.proj",
                  block + "ff.net.2",
                  block + "ff_context.net.0.proj",
                  block + "ff_context.net.2",
                  single + "attn.norm_q",
                  single + "attn.norm_k",
                  single + "attn.to_q",
                  single + "attn.to_k",
                  single + "attn.to_v",
                  single + "norm.linear",
                  single + "norm.norm",
                  single + "proj_mlp",
                  single + "proj_out",
                  "norm_out.linear",
                  "norm_out.norm",
                  "proj_out",
              },
          .norms = {{refiner + "norm1", refiner + "norm1"},
                    {refiner + "norm2", refiner + "norm2"},
                    {block + "norm1.norm", block + "norm1.linear"},
                    {block + "norm1_context.norm", block + "norm1_context.linear"},
                    {block + "norm2", block + "norm1.linear"},
                    {block + "norm2_context", block + "norm1_context.linear"},
                    {single + "norm.norm", single + "norm.linear"},
                    {"norm_out.norm", "norm_out.linear"}},
          .attentions = {{refiner + "attn", refiner + "attn.to_q"},
                         {block + "attn", block + "attn.to_q"},
                         {single + "attn", single + "attn.to_q"}},
          .config_defaults = [] {
            return Json{{"attention_head_dim", 128},
                        {"guidance_embeds", true},
                        {"image_condition_type", nullptr},
                        {"in_channels", 16},
                        {"mlp_ratio", 4.0},
                        {"num_attention_heads", 24},
                        {"num_layers", 20},
                        {"num_refiner_layers", 2},
                        {"num_single_layers", 40},
                        {"out_channels", 16},
                        {"patch_size", 2},
                        {"patch_size_t", 1},
                        {"pooled_projection_dim", 768},
                        {"qk_norm", "rms_norm"},
                        {"rope_axes_dim", {16, 56, 56}},
                        {"rope_theta", 256.0},
                        {"text_embed_dim", 4096}};
          }};
}

}  // namespace

const FamilySpec& hunyuan_video_family() {
  static const FamilySpec spec = {
      .name = "hunyuan-video",
      .title = "HunyuanVideo",
      .model_type = "hunyuan-video",
      .class_names = {"HunyuanVideoTransformer3DModel"},
      .fp8_fallback =
          {
              R"(^context_embedder\.)",
              R"(^x_embedder\.proj$)",
              R"(^time_text_embed\.(timestep_embedder|guidance_embedder|text_embedder)\.linear_[12]$)",
              R"(^norm_out\.linear$)",
              R"(^proj_out$)",
              R"(^transformer_blocks\.\d+\.norm1\.linear$)",
              R"(^transformer_blocks\.\d+\.norm1_context\.linear$)",
              R"(^single_transformer_blocks\.\d+\.norm\.linear$)",
          },
      .runtime_names = runtime_names(),
      .dialects = {{"diffusers",
                    {"x_embedder.proj.weight", "context_embedder.proj_in.weight",
                     "transformer_blocks.0.norm1_context.linear.weight"}},
                   {"original",
                    {"img_in.proj.weight", "txt_in.input_embedder.weight",
                     "double_blocks.0.img_attn_qkv.weight"}}},
      .variants = {{.name = "T2V",
                    .tensor = "x_embedder.proj.weight",
                    .shape = {3072, 16, 1, 2, 2},
                    .config = {{"num_layers", 20}, {"num_single_layers", 40}},
                    .defaults = {.steps = 50, .guidance = 6.0}}},
      .quant = quant_facts(),
  };
  return spec;
}

}  // namespace ditq
