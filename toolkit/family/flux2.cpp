// FLUX.2 (Black Forest Labs).
// Sources: diffusers models/transformers/transformer_flux2.py @ 0.39.0 (names);
// diffusers scripts/convert_flux2_to_diffusers.py @ 0.39.0 (BFL's names, the order in fused layers, swapped halves);
// sglang multimodal_gen/tools/build_modelopt_fp8_transformer.py @ 8c703f215 (fallback patterns);
// ModelOpt 0.47.0 on that network (norms and attention modules that get quantizers).

#include "family/config_from_tensors.h"
#include "family/registry.h"

namespace ditq {
namespace {

const std::vector<DialectPart> kImageQkv = {{"transformer_blocks.#.attn.to_q"},
                                            {"transformer_blocks.#.attn.to_k"},
                                            {"transformer_blocks.#.attn.to_v"}};
const std::vector<DialectPart> kTextQkv = {{"transformer_blocks.#.attn.add_q_proj"},
                                           {"transformer_blocks.#.attn.add_k_proj"},
                                           {"transformer_blocks.#.attn.add_v_proj"}};

/// BFL's modules in diffusers' names. The input of a single block is one layer in both.
std::vector<DialectRule> bfl_rules() {
  const std::string embed = "time_guidance_embed.";
  const std::string from = "double_blocks.#.";
  const std::string to = "transformer_blocks.#.";
  const std::string single = "single_transformer_blocks.#.";
  return {
      {"img_in", {{"x_embedder"}}},
      {"txt_in", {{"context_embedder"}}},
      {"time_in.in_layer", {{embed + "timestep_embedder.linear_1"}}},
      {"time_in.out_layer", {{embed + "timestep_embedder.linear_2"}}},
      {"guidance_in.in_layer", {{embed + "guidance_embedder.linear_1"}}},
      {"guidance_in.out_layer", {{embed + "guidance_embedder.linear_2"}}},
      {"double_stream_modulation_img.lin", {{"double_stream_modulation_img.linear"}}},
      {"double_stream_modulation_txt.lin", {{"double_stream_modulation_txt.linear"}}},
      {"single_stream_modulation.lin", {{"single_stream_modulation.linear"}}},
      {from + "img_attn.qkv", kImageQkv},
      {from + "txt_attn.qkv", kTextQkv},
      {from + "img_attn.proj", {{to + "attn.to_out.0"}}},
      {from + "txt_attn.proj", {{to + "attn.to_add_out"}}},
      {from + "img_attn.norm.query_norm", {{to + "attn.norm_q"}}},
      {from + "img_attn.norm.key_norm", {{to + "attn.norm_k"}}},
      {from + "txt_attn.norm.query_norm", {{to + "attn.norm_added_q"}}},
      {from + "txt_attn.norm.key_norm", {{to + "attn.norm_added_k"}}},
      {from + "img_mlp.0", {{to + "ff.linear_in"}}},
      {from + "img_mlp.2", {{to + "ff.linear_out"}}},
      {from + "txt_mlp.0", {{to + "ff_context.linear_in"}}},
      {from + "txt_mlp.2", {{to + "ff_context.linear_out"}}},
      {"single_blocks.#.linear1", {{single + "attn.to_qkv_mlp_proj"}}},
      {"single_blocks.#.linear2", {{single + "attn.to_out"}}},
      {"single_blocks.#.norm.query_norm", {{single + "attn.norm_q"}}},
      {"single_blocks.#.norm.key_norm", {{single + "attn.norm_k"}}},
      {"final_layer.linear", {{"proj_out"}}},
      // BFL stores (shift, scale), diffusers (scale, shift).
      {"final_layer.adaLN_modulation.1", {{"norm_out.linear"}}, /*swap_halves=*/true},
  };
}

/// What diffusers' fuse_qkv_projections leaves behind, and what SGLang's runtime calls the fused layers.
std::vector<DialectRule> fused_rules() {
  return {{"transformer_blocks.#.attn.to_qkv", kImageQkv},
          {"transformer_blocks.#.attn.to_added_qkv", kTextQkv}};
}

Json deduce_config(const TensorTable& tensors, const std::string& path) {
  const TensorSizes sizes(tensors, path);
  const std::int64_t hidden = sizes.extent("x_embedder.weight", 0);
  const std::int64_t head = sizes.extent("transformer_blocks.0.attn.norm_q.weight", 0);
  const std::int64_t axis = sizes.quotient(head, 4, "the width of a rope axis");
  const std::int64_t mlp = sizes.extent("transformer_blocks.0.ff.linear_out.weight", 1);
  const std::string timestep = "time_guidance_embed.timestep_embedder.linear_1.weight";
  return {{"_class_name", "Flux2Transformer2DModel"},
          {"attention_head_dim", head},
          {"axes_dims_rope", {axis, axis, axis, axis}},
          {"guidance_embeds", sizes.has("time_guidance_embed.guidance_embedder.linear_1.weight")},
          {"in_channels", sizes.extent("x_embedder.weight", 1)},
          {"joint_attention_dim", sizes.extent("context_embedder.weight", 1)},
          {"mlp_ratio", static_cast<double>(mlp) / static_cast<double>(hidden)},
          {"num_attention_heads", sizes.quotient(hidden, head, "the number of heads")},
          {"num_layers", sizes.blocks("transformer_blocks.", "attn.norm_q.weight")},
          {"num_single_layers", sizes.blocks("single_transformer_blocks.", "attn.norm_q.weight")},
          {"out_channels", sizes.extent("proj_out.weight", 0)},
          {"patch_size", 1},
          {"rope_theta", 2000},
          {"timestep_guidance_channels", sizes.extent(timestep, 1)}};
}

QuantFacts quant_facts() {
  const std::string block = "transformer_blocks.#.";
  const std::string single = "single_transformer_blocks.#.";
  return {.definition_order =
              {
                  "time_guidance_embed.timestep_embedder.linear_1",
                  "time_guidance_embed.timestep_embedder.linear_2",
                  "time_guidance_embed.guidance_embedder.linear_1",
                  "time_guidance_embed.guidance_embedder.linear_2",
                  "double_stream_modulation_img.linear",
                  "double_stream_modulation_txt.linear",
                  "single_stream_modulation.linear",
                  "x_embedder",
                  "context_embedder",
                  block + "norm1",
                  block + "norm1_context",
                  block + "attn.to_q",
                  block + "attn.to_k",
                  block + "attn.to_v",
                  block + "attn.norm_q",
                  block + "attn.norm_k",
                  block + "attn.to_out.0",
                  block + "attn.norm_added_q",
                  block + "attn.norm_added_k",
                  block + "attn.add_q_proj",
                  block + "attn.add_k_proj",
                  block + "attn.add_v_proj",
                  block + "attn.to_add_out",
                  block + "norm2",
                  block + "ff.linear_in",
                  block + "ff.linear_out",
                  block + "norm2_context",
                  block + "ff_context.linear_in",
                  block + "ff_context.linear_out",
                  single + "norm",
                  single + "attn.to_qkv_mlp_proj",
                  single + "attn.norm_q",
                  single + "attn.norm_k",
                  single + "attn.to_out",
                  "norm_out.linear",
                  "norm_out.norm",
                  "proj_out",
              },
          .norms = {{block + "norm1", block + "attn.to_q"},
                    {block + "norm1_context", block + "attn.add_q_proj"},
                    {block + "norm2", block + "ff.linear_in"},
                    {block + "norm2_context", block + "ff_context.linear_in"},
                    {single + "norm", single + "attn.to_qkv_mlp_proj"},
                    {"norm_out.norm", "norm_out.linear"}},
          .attentions = {{block + "attn", block + "attn.to_q"},
                         {single + "attn", single + "attn.to_qkv_mlp_proj"}},
          .shared_inputs = {{block + "attn.to_q", block + "attn.to_k", block + "attn.to_v"},
                            {block + "attn.add_q_proj", block + "attn.add_k_proj",
                             block + "attn.add_v_proj"}},
          .config_defaults = [] {
            return Json{{"attention_head_dim", 128},
                        {"axes_dims_rope", {32, 32, 32, 32}},
                        {"eps", 1e-06},
                        {"guidance_embeds", true},
                        {"in_channels", 128},
                        {"joint_attention_dim", 15360},
                        {"mlp_ratio", 3.0},
                        {"num_attention_heads", 48},
                        {"num_layers", 8},
                        {"num_single_layers", 48},
                        {"out_channels", nullptr},
                        {"patch_size", 1},
                        {"rope_theta", 2000},
                        {"timestep_guidance_channels", 256}};
          }};
}

}  // namespace

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
                    {"double_stream_modulation_img.linear.weight", "context_embedder.weight"},
                    "",
                    fused_rules()},
                   {"bfl",
                    {"double_stream_modulation_img.lin.weight", "txt_in.weight"},
                    "",
                    bfl_rules(),
                    /*packed_nvfp4=*/true},
                   {"comfy",
                    {"model.diffusion_model.double_stream_modulation_img.lin.weight",
                     "model.diffusion_model.txt_in.weight"},
                    "model.diffusion_model.",
                    bfl_rules(),
                    /*packed_nvfp4=*/true}},
      .deduce_config = deduce_config,
      .variants = {{.name = "dev",
                    .tensor = "x_embedder.weight",
                    .shape = {6144, 128},
                    .config = {{"num_layers", 8}, {"num_single_layers", 48}},
                    .defaults = {.steps = 50, .guidance = 4.0}}},
      .quant = quant_facts(),
  };
  return spec;
}

}  // namespace ditq
