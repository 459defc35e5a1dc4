// FLUX.1 (Black Forest Labs): dev, schnell and everything of their shape.
// Sources: diffusers models/transformers/transformer_flux.py and pipelines/flux @ 0.39.0 (names, shapes, defaults);
// diffusers scripts/convert_flux_to_diffusers.py @ 0.39.0 (BFL's names, the order in fused layers, swapped halves);
// sglang multimodal_gen/tools/build_modelopt_fp8_transformer.py @ 8c703f215 (fallback patterns) and its public
// quantization notes (the eighth pattern); sglang runtime/models/dits/flux.py @ 8c703f215 (quantization-aware layers);
// ModelOpt 0.47.0 on that network (norms and attention modules that get quantizers).

#include "family/flux1.h"

#include <fmt/format.h>

#include "base/error.h"
#include "family/config_from_tensors.h"
#include "family/registry.h"

namespace ditq {
namespace {

/// The same patterns apply to both fallback sets; the documentation has one more.
std::vector<std::string> fallback_patterns(bool documented) {
  std::vector<std::string> patterns = {
      R"(^transformer_blocks\.\d+\.norm1\.linear$)",
      R"(^transformer_blocks\.\d+\.norm1_context\.linear$)",
      R"(^transformer_blocks\.\d+\.ff\.net\.0\.proj$)",
      R"(^transformer_blocks\.\d+\.ff\.net\.2$)",
      R"(^transformer_blocks\.\d+\.ff_context\.net\.0\.proj$)",
      R"(^transformer_blocks\.\d+\.ff_context\.net\.2$)",
      R"(^single_transformer_blocks\.\d+\.norm\.linear$)",
  };
  if (documented) patterns.emplace_back(R"(^single_transformer_blocks\.\d+\.proj_mlp$)");
  return patterns;
}

/// Names in which '*' stands for any characters: SGLang's preset flux1-nvfp4 (bridge reference 3.3).
std::vector<std::string> nvfp4_fallback_patterns() {
  return {
      "transformer_blocks.*.norm1.linear*",          "transformer_blocks.*.norm1_context.linear*",
      "transformer_blocks.*.ff.net.0.proj*",         "transformer_blocks.*.ff.net.2*",
      "transformer_blocks.*.ff_context.net.0.proj*", "transformer_blocks.*.ff_context.net.2*",
      "single_transformer_blocks.*.norm.linear*",    "single_transformer_blocks.*.proj_mlp*"};
}

/// Rows of the joint blocks: image stream first, then what the text stream adds. Dims: D hidden, H head size.
std::vector<LayerRow> double_block_layers() {
  const std::string block = "transformer_blocks.#.";
  const std::string count = "num_layers";
  std::vector<LayerRow> rows;
  for (const char* name : {"norm1.linear", "norm1_context.linear"}) {
    rows.push_back({block + name, count, "6D", "D", LayerUse::dequantize});
  }
  for (const char* name : {"norm_q", "norm_k", "norm_added_q", "norm_added_k"}) {
    rows.push_back({block + "attn." + name, count, "H", "", LayerUse::keep});
  }
  for (const char* name : {"to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj",
                           "add_v_proj", "to_add_out"}) {
    rows.push_back({block + "attn." + name, count, "D", "D", LayerUse::quantizable});
  }
  for (const char* name : {"ff", "ff_context"}) {
    rows.push_back({block + name + ".net.0.proj", count, "4D", "D", LayerUse::dequantize});
    rows.push_back({block + name + ".net.2", count, "D", "4D", LayerUse::dequantize});
  }
  return rows;
}

std::vector<LayerRow> single_block_layers() {
  const std::string block = "single_transformer_blocks.#.";
  const std::string count = "num_single_layers";
  std::vector<LayerRow> rows = {
      {block + "norm.linear", count, "3D", "D", LayerUse::dequantize},
      {block + "proj_mlp", count, "4D", "D", LayerUse::quantizable},
      // Attention output and MLP side by side.
      {block + "proj_out", count, "D", "5D", LayerUse::quantizable},
      {block + "attn.norm_q", count, "H", "", LayerUse::keep},
      {block + "attn.norm_k", count, "H", "", LayerUse::keep},
  };
  for (const char* name : {"to_q", "to_k", "to_v"}) {
    rows.push_back({block + "attn." + name, count, "D", "D", LayerUse::quantizable});
  }
  return rows;
}

std::vector<LayerRow> all_layers() {
  const auto embedder = [](const std::string& name, const std::string& in,
                           const std::string& needs) {
    const std::string prefix = "time_text_embed." + name + ".";
    return std::vector<LayerRow>{
        {.name = prefix + "linear_1", .out = "D", .in = in, .needs = needs},
        {.name = prefix + "linear_2", .out = "D", .in = "D", .needs = needs},
    };
  };
  std::vector<LayerRow> rows;
  const auto append = [&rows](const std::vector<LayerRow>& more) {
    rows.insert(rows.end(), more.begin(), more.end());
  };
  append(embedder("timestep_embedder", "256", ""));
  append(embedder("guidance_embedder", "256", "guidance_embeds"));
  append(embedder("text_embedder", "pooled_projection_dim", ""));
  append({{.name = "context_embedder", .out = "D", .in = "joint_attention_dim"},
          {.name = "x_embedder", .out = "D", .in = "in_channels"}});
  append(double_block_layers());
  append(single_block_layers());
  append({{.name = "norm_out.linear", .out = "2D", .in = "D"},
          {.name = "proj_out", .out = "out_channels", .in = "D"}});
  return rows;
}

std::vector<Variant> variants() {
  const std::string guidance = "time_text_embed.guidance_embedder.linear_1.weight";
  const GenerationDefaults dev = {.steps = 50,
                                  .guidance = 3.5,
                                  .max_sequence_length = 512,
                                  .dynamic_shifting = true,
                                  .shift = 3.0};
  const GenerationDefaults schnell = {.steps = 4,
                                      .guidance = 0.0,
                                      .max_sequence_length = 256,
                                      .dynamic_shifting = false,
                                      .shift = 1.0};
  return {
      {.name = "dev",
       .tensor = "x_embedder.weight",
       .shape = {3072, 64},
       .has = {guidance},
       .config = {{"guidance_embeds", 1}, {"num_layers", 19}, {"num_single_layers", 38}},
       .defaults = dev},
      {.name = "schnell",
       .tensor = "x_embedder.weight",
       .shape = {3072, 64},
       .lacks = {guidance},
       .config = {{"guidance_embeds", 0}, {"num_layers", 19}, {"num_single_layers", 38}},
       .defaults = schnell},
      {.name = "tiny",
       .tensor = "x_embedder.weight",
       .shape = {256, 64},
       .has = {guidance},
       .config = {{"guidance_embeds", 1}, {"num_layers", 2}, {"num_single_layers", 4}},
       .defaults = dev},
      {.name = "guidance-distilled, own size",
       .has = {guidance},
       .config = {{"guidance_embeds", 1}},
       .defaults = dev},
      {.name = "without guidance, own size",
       .lacks = {guidance},
       .config = {{"guidance_embeds", 0}},
       .defaults = schnell},
  };
}

/// Modules of one text or image stream of a double block: BFL's prefix and the diffusers names that differ.
struct BflStream {
  std::string bfl;
  std::string norm;
  std::vector<DialectPart> qkv;
  std::string out;
  std::string query_norm;
  std::string key_norm;
  std::string feed_forward;
};

void append_stream(const BflStream& stream, std::vector<DialectRule>& rules) {
  const std::string from = "double_blocks.#." + stream.bfl;
  const std::string to = "transformer_blocks.#.";
  rules.push_back({from + "_mod.lin", {{to + stream.norm}}});
  rules.push_back({from + "_attn.qkv", stream.qkv});
  rules.push_back({from + "_attn.proj", {{to + "attn." + stream.out}}});
  rules.push_back({from + "_attn.norm.query_norm", {{to + "attn." + stream.query_norm}}});
  rules.push_back({from + "_attn.norm.key_norm", {{to + "attn." + stream.key_norm}}});
  rules.push_back({from + "_mlp.0", {{to + stream.feed_forward + ".net.0.proj"}}});
  rules.push_back({from + "_mlp.2", {{to + stream.feed_forward + ".net.2"}}});
}

const std::vector<DialectPart> kImageQkv = {{"transformer_blocks.#.attn.to_q"},
                                            {"transformer_blocks.#.attn.to_k"},
                                            {"transformer_blocks.#.attn.to_v"}};
const std::vector<DialectPart> kTextQkv = {{"transformer_blocks.#.attn.add_q_proj"},
                                           {"transformer_blocks.#.attn.add_k_proj"},
                                           {"transformer_blocks.#.attn.add_v_proj"}};
const std::vector<DialectPart> kSingleQkv = {{"single_transformer_blocks.#.attn.to_q"},
                                             {"single_transformer_blocks.#.attn.to_k"},
                                             {"single_transformer_blocks.#.attn.to_v"}};

/// BFL's modules in diffusers' names.
std::vector<DialectRule> bfl_rules() {
  const std::string embed = "time_text_embed.";
  const std::string single = "single_transformer_blocks.#.";
  std::vector<DialectPart> linear1 = kSingleQkv;
  linear1.push_back({single + "proj_mlp", 4});
  std::vector<DialectRule> rules = {
      {"img_in", {{"x_embedder"}}},
      {"txt_in", {{"context_embedder"}}},
      {"time_in.in_layer", {{embed + "timestep_embedder.linear_1"}}},
      {"time_in.out_layer", {{embed + "timestep_embedder.linear_2"}}},
      {"vector_in.in_layer", {{embed + "text_embedder.linear_1"}}},
      {"vector_in.out_layer", {{embed + "text_embedder.linear_2"}}},
      {"guidance_in.in_layer", {{embed + "guidance_embedder.linear_1"}}},
      {"guidance_in.out_layer", {{embed + "guidance_embedder.linear_2"}}},
      {"single_blocks.#.modulation.lin", {{single + "norm.linear"}}},
      {"single_blocks.#.linear1", linear1},
      {"single_blocks.#.linear2", {{single + "proj_out"}}},
      {"single_blocks.#.norm.query_norm", {{single + "attn.norm_q"}}},
      {"single_blocks.#.norm.key_norm", {{single + "attn.norm_k"}}},
      {"final_layer.linear", {{"proj_out"}}},
      // BFL stores (shift, scale), diffusers (scale, shift).
      {"final_layer.adaLN_modulation.1", {{"norm_out.linear"}}, /*swap_halves=*/true},
  };
  append_stream({"img", "norm1.linear", kImageQkv, "to_out.0", "norm_q", "norm_k", "ff"}, rules);
  append_stream({"txt", "norm1_context.linear", kTextQkv, "to_add_out", "norm_added_q",
                 "norm_added_k", "ff_context"},
                rules);
  return rules;
}

/// What diffusers' fuse_qkv_projections leaves behind.
std::vector<DialectRule> fused_rules() {
  return {{"transformer_blocks.#.attn.to_qkv", kImageQkv},
          {"transformer_blocks.#.attn.to_added_qkv", kTextQkv},
          {"single_transformer_blocks.#.attn.to_qkv", kSingleQkv}};
}

Json deduce_config(const TensorTable& tensors, const std::string& path) {
  const TensorSizes sizes(tensors, path);
  const std::int64_t hidden = sizes.extent("x_embedder.weight", 0);
  const std::int64_t head = sizes.extent("transformer_blocks.0.attn.norm_q.weight", 0);
  const Flux1Dims published;
  if (head != published.head_dim) {
    sizes.fail(fmt::format("heads of {} channels, whose axes_dims_rope no tensor tells", head));
  }
  return {
      {"_class_name", "FluxTransformer2DModel"},
      {"attention_head_dim", head},
      {"axes_dims_rope", published.axes_dims_rope},
      {"guidance_embeds", sizes.has("time_text_embed.guidance_embedder.linear_1.weight")},
      {"in_channels", sizes.extent("x_embedder.weight", 1)},
      {"joint_attention_dim", sizes.extent("context_embedder.weight", 1)},
      {"num_attention_heads", sizes.quotient(hidden, head, "the number of heads")},
      {"num_layers", sizes.blocks("transformer_blocks.", "attn.norm_q.weight")},
      {"num_single_layers", sizes.blocks("single_transformer_blocks.", "attn.norm_q.weight")},
      {"out_channels", sizes.extent("proj_out.weight", 0)},
      {"patch_size", 1},
      {"pooled_projection_dim", sizes.extent("time_text_embed.text_embedder.linear_1.weight", 1)}};
}

// Reads one integer and collects what is wrong with it.
class ConfigReader {
 public:
  explicit ConfigReader(const Json& config) : config_(config) {}

  std::int64_t integer(const char* key, std::int64_t absent, std::int64_t most) {
    const auto found = config_.find(key);
    if (found == config_.end()) return absent;
    if (!found->is_number_integer()) {
      problem(fmt::format("{} must be an integer, found {}", key, found->dump()));
      return absent;
    }
    const auto value = found->get<std::int64_t>();
    if (value < 1 || value > most) {
      problem(fmt::format("{} must lie in 1…{}, found {}", key, most, value));
      return absent;
    }
    return value;
  }

  void problem(const std::string& text) { problems_ += (problems_.empty() ? "" : "; ") + text; }
  const std::string& problems() const { return problems_; }

 private:
  const Json& config_;
  std::string problems_;
};

void read_axes(const Json& config, Flux1Dims& dims, ConfigReader& reader) {
  const auto found = config.find("axes_dims_rope");
  if (found != config.end()) {
    const bool usable = found->is_array() && found->size() == dims.axes_dims_rope.size();
    for (std::size_t i = 0; i < dims.axes_dims_rope.size(); ++i) {
      if (!usable || !(*found)[i].is_number_integer() || (*found)[i].get<std::int64_t>() < 2 ||
          (*found)[i].get<std::int64_t>() % 2 != 0 || (*found)[i].get<std::int64_t>() > 4096) {
        reader.problem(fmt::format("axes_dims_rope must be three even positive integers, found {}",
                                   found->dump()));
        return;
      }
      dims.axes_dims_rope[i] = (*found)[i].get<std::int64_t>();
    }
  }
  const auto& axes = dims.axes_dims_rope;
  if (axes[0] + axes[1] + axes[2] != dims.head_dim) {
    reader.problem(fmt::format(
        "axes_dims_rope must add up to attention_head_dim = {}, found {} + {} + {} = {}",
        dims.head_dim, axes[0], axes[1], axes[2], axes[0] + axes[1] + axes[2]));
  }
}

/// The modules of a double and of a single block in the order in which diffusers defines them.
std::vector<std::string> definition_order() {
  const std::string block = "transformer_blocks.#.";
  const std::string single = "single_transformer_blocks.#.";
  std::vector<std::string> order;
  for (const char* embedder : {"timestep_embedder", "guidance_embedder", "text_embedder"}) {
    for (const char* linear : {".linear_1", ".linear_2"}) {
      order.push_back(std::string("time_text_embed.") + embedder + linear);
    }
  }
  for (const char* name : {"context_embedder", "x_embedder"}) order.emplace_back(name);
  for (const char* name : {"norm1.linear",
                           "norm1.norm",
                           "norm1_context.linear",
                           "norm1_context.norm",
                           "attn.norm_q",
                           "attn.norm_k",
                           "attn.to_q",
                           "attn.to_k",
                           "attn.to_v",
                           "attn.to_out.0",
                           "attn.norm_added_q",
                           "attn.norm_added_k",
                           "attn.add_q_proj",
                           "attn.add_k_proj",
                           "attn.add_v_proj",
                           "attn.to_add_out",
                           "norm2",
                           "ff.net.0.proj",
                           "ff.net.2",
                           "norm2_context",
                           "ff_context.net.0.proj",
                           "ff_context.net.2"}) {
    order.push_back(block + name);
  }
  for (const char* name : {"norm.linear", "norm.norm", "proj_mlp", "proj_out", "attn.norm_q",
                           "attn.norm_k", "attn.to_q", "attn.to_k", "attn.to_v"}) {
    order.push_back(single + name);
  }
  for (const char* name : {"norm_out.linear", "norm_out.norm", "proj_out"}) {
    order.emplace_back(name);
  }
  return order;
}

QuantFacts quant_facts() {
  const std::string block = "transformer_blocks.#.";
  const std::string single = "single_transformer_blocks.#.";
  return {.definition_order = definition_order(),
          .norms = {{block + "norm1.norm", block + "norm1.linear"},
                    {block + "norm1_context.norm", block + "norm1_context.linear"},
                    {block + "norm2", block + "ff.net.0.proj"},
                    {block + "norm2_context", block + "ff_context.net.0.proj"},
                    {single + "norm.norm", single + "norm.linear"},
                    {"norm_out.norm", "norm_out.linear"}},
          .attentions = {{block + "attn", block + "attn.to_q"},
                         {single + "attn", single + "attn.to_q"}},
          .shared_inputs = {{block + "attn.to_q", block + "attn.to_k", block + "attn.to_v"},
                            {block + "attn.add_q_proj", block + "attn.add_k_proj",
                             block + "attn.add_v_proj"},
                            {single + "attn.to_q", single + "attn.to_k", single + "attn.to_v"}},
          .config_defaults = [] {
            Json config = flux1_config(Flux1Dims{.guidance_embeds = false});
            config.erase("_class_name");
            config.erase("_diffusers_version");
            return config;
          }};
}

}  // namespace

const FamilySpec& flux1_family() {
  static const FamilySpec spec = {
      .name = "flux1",
      .title = "FLUX.1",
      .model_type = "flux1",
      .class_names = {"FluxTransformer2DModel"},
      .fp8_fallback = fallback_patterns(/*documented=*/false),
      .fp8_fallback_documented = fallback_patterns(/*documented=*/true),
      .nvfp4_fallback = nvfp4_fallback_patterns(),
      .dialects = {{"diffusers",
                    {"x_embedder.weight", "single_transformer_blocks.0.proj_mlp.weight",
                     "time_text_embed.text_embedder.linear_1.weight"},
                    "",
                    fused_rules()},
                   {"bfl",
                    {"img_in.weight", "vector_in.in_layer.weight",
                     "single_blocks.0.modulation.lin.weight"},
                    "",
                    bfl_rules(),
                    /*packed_nvfp4=*/true},
                   {"comfy",
                    {"model.diffusion_model.img_in.weight",
                     "model.diffusion_model.vector_in.in_layer.weight",
                     "model.diffusion_model.single_blocks.0.modulation.lin.weight"},
                    "model.diffusion_model.",
                    bfl_rules(),
                    /*packed_nvfp4=*/true}},
      .deduce_config = deduce_config,
      .variants = variants(),
      .calibration = CalibrationDefaults{.guidance = 3.5},
      .layers = all_layers(),
      .dims = [](const Json& config,
                 const std::string& path) { return dim_values(parse_flux1_dims(config, path)); },
      .quant = quant_facts(),
  };
  return spec;
}

Flux1Dims parse_flux1_dims(const Json& config, const std::string& path) {
  if (!config.is_object()) {
    throw Error(ErrorCode::json_type, "a transformer config must be a JSON object", {.path = path});
  }
  constexpr std::int64_t kMostBlocks = 1024;
  constexpr std::int64_t kWidest = 1 << 20;
  ConfigReader reader(config);
  Flux1Dims dims;
  dims.num_layers = reader.integer("num_layers", dims.num_layers, kMostBlocks);
  dims.num_single_layers = reader.integer("num_single_layers", dims.num_single_layers, kMostBlocks);
  dims.heads = reader.integer("num_attention_heads", dims.heads, 1024);
  dims.head_dim = reader.integer("attention_head_dim", dims.head_dim, 4096);
  dims.joint_attention_dim =
      reader.integer("joint_attention_dim", dims.joint_attention_dim, kWidest);
  dims.pooled_projection_dim =
      reader.integer("pooled_projection_dim", dims.pooled_projection_dim, kWidest);
  dims.in_channels = reader.integer("in_channels", dims.in_channels, kWidest);
  dims.patch_size = reader.integer("patch_size", dims.patch_size, 64);
  dims.out_channels = dims.in_channels;
  if (config.contains("out_channels") && !config["out_channels"].is_null()) {
    dims.out_channels = reader.integer("out_channels", dims.in_channels, kWidest);
  }
  // diffusers' default is false: configs of schnell-like models may leave the key out.
  dims.guidance_embeds = false;
  if (config.contains("guidance_embeds")) {
    if (config["guidance_embeds"].is_boolean()) {
      dims.guidance_embeds = config["guidance_embeds"].get<bool>();
    } else {
      reader.problem("guidance_embeds must be true or false, found " +
                     config["guidance_embeds"].dump());
    }
  }
  if (dims.patch_size != 1)
    reader.problem(fmt::format("patch_size must be 1, found {}", dims.patch_size));
  read_axes(config, dims, reader);
  if (!reader.problems().empty()) {
    throw Error(ErrorCode::bad_config, "the transformer config cannot be: " + reader.problems(),
                {.path = path});
  }
  return dims;
}

std::optional<Flux1Dims> published_flux1_dims(const std::string& variant) {
  Flux1Dims dims;  // those of dev
  if (variant == "dev") return dims;
  if (variant == "schnell") {
    dims.guidance_embeds = false;
    return dims;
  }
  if (variant != "tiny") return std::nullopt;
  dims.num_layers = 2;
  dims.num_single_layers = 4;
  dims.heads = 2;
  dims.joint_attention_dim = 128;
  dims.pooled_projection_dim = 128;
  return dims;
}

Json flux1_config(const Flux1Dims& dims) {
  return {{"_class_name", flux1_family().class_names.front()},
          {"_diffusers_version", "0.39.0"},
          {"attention_head_dim", dims.head_dim},
          {"axes_dims_rope", dims.axes_dims_rope},
          {"guidance_embeds", dims.guidance_embeds},
          {"in_channels", dims.in_channels},
          {"joint_attention_dim", dims.joint_attention_dim},
          {"num_attention_heads", dims.heads},
          {"num_layers", dims.num_layers},
          {"num_single_layers", dims.num_single_layers},
          {"out_channels",
           dims.out_channels == dims.in_channels ? Json(nullptr) : Json(dims.out_channels)},
          {"patch_size", dims.patch_size},
          {"pooled_projection_dim", dims.pooled_projection_dim}};
}

DimValues dim_values(const Flux1Dims& dims) {
  return {{"D", dims.hidden()},
          {"H", dims.head_dim},
          {"num_layers", dims.num_layers},
          {"num_single_layers", dims.num_single_layers},
          {"joint_attention_dim", dims.joint_attention_dim},
          {"pooled_projection_dim", dims.pooled_projection_dim},
          {"in_channels", dims.in_channels},
          {"out_channels", dims.out_channels * dims.patch_size * dims.patch_size},
          {"guidance_embeds", dims.guidance_embeds ? 1 : 0}};
}

}  // namespace ditq
