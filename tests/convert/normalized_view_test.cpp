#include "convert/normalized_view.h"

#include <filesystem>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "convert/component_source.h"
#include "family/dialect.h"
#include "family/registry.h"
#include "format/helpers.h"
#include "quant/nvfp4.h"
#include "support/owned_tensors.h"
#include "support/paths.h"

namespace ditq::test {
namespace {

namespace fs = std::filesystem;
using testing::AnyOf;
using testing::Contains;
using testing::Eq;
using testing::HasSubstr;

const Json kFp8 = {{"quant_method", "modelopt"}, {"quant_algo", "FP8"}};
const Json kNvfp4 = {{"quant_method", "modelopt"},
                     {"quant_algo", "NVFP4"},
                     {"group_size", 16},
                     {"ignore", Json::array()}};

const OwnedTensors& tiny() {
  static const OwnedTensors tensors = load_tensors((tiny_flux() / "transformer").string());
  return tensors;
}

Json tiny_config() {
  return read_json((tiny_flux() / "transformer/config.json").string());
}

/// The stored module of the BFL dialect that a module is part of: what shares an amax there.
std::string bfl_module(const FamilySpec& family, const std::string& module) {
  for (const DialectRule& rule : dialect(family, "bfl").rules) {
    for (const DialectPart& part : rule.parts) {
      const std::size_t mark = part.module.find('#');
      if (mark == std::string::npos ? module == part.module
                                    : module.starts_with(part.module.substr(0, mark)) &&
                                          module.ends_with(part.module.substr(mark + 1))) {
        return rule.module + module.substr(0, module.find('.', module.find('.') + 1));
      }
    }
  }
  return module;
}

/// Layers that the tests quantize: all linears of blocks.
std::string quantized_group(const FamilySpec& family, const std::string& module) {
  const bool block = module.find("transformer_blocks.") != std::string::npos;
  return block && module.find("norm_") == std::string::npos ? bfl_module(family, module) : "";
}

OwnedTensors nvfp4_of(const OwnedTensors& plain, const FamilySpec& family) {
  OwnedTensors out = plain;
  quantize_nvfp4(out, [&](const std::string& module) { return quantized_group(family, module); });
  return out;
}

OwnedTensors packed_bfl(const OwnedTensors& diffusers, const DialectMark& mark) {
  OwnedTensors out = in_dialect(diffusers, mark);
  pack_as_comfy(out);
  return out;
}

/// What is loaded from a single file without a config.
TransformerSource load_file(const TemporaryFolder& folder,
                            const OwnedTensors& tensors,
                            const std::map<std::string, std::string>& metadata = {
                                {"format", "pt"}}) {
  const std::string path = folder / "model.safetensors";
  write_tensors(path, tensors, metadata);
  return resolve_transformer(path, "");
}

/// What is loaded from a folder with this config.
TransformerSource load_folder(const TemporaryFolder& folder,
                              const OwnedTensors& tensors,
                              const Json& quantization,
                              Json config = tiny_config()) {
  if (!quantization.is_null()) config["quantization_config"] = quantization;
  write_text(folder / "config.json", dump_json(config));
  write_tensors(folder / "diffusion_pytorch_model.safetensors", tensors);
  return resolve_transformer(folder.path().string(), "");
}

void expect_equal(const OwnedTensors& found, const OwnedTensors& expected) {
  for (const auto& [name, tensor] : expected) {
    const auto there = found.find(name);
    ASSERT_NE(there, found.end()) << name;
    EXPECT_EQ(there->second.dtype, tensor.dtype) << name;
    EXPECT_EQ(to_string(there->second.shape), to_string(tensor.shape)) << name;
    EXPECT_TRUE(there->second.bytes == tensor.bytes) << name;
  }
  EXPECT_EQ(found.size(), expected.size());
}

/// A FLUX.2-like model of random weights whose widths are no multiples of the scale tiles.
OwnedTensors random_flux2(std::mt19937& random) {
  const auto pick = [&](std::int64_t least, std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(least, most)(random);
  };
  const std::int64_t width = 16 * pick(1, 13);
  const std::int64_t mlp = 16 * pick(1, 25);
  OwnedTensors out;
  std::normal_distribution<float> normal(0.0f, 0.02f);
  const auto add = [&](const std::string& name, const Shape& shape) {
    std::vector<float> values(
        static_cast<std::size_t>(shape.size() > 1 ? shape[0] * shape[1] : shape[0]));
    for (float& value : values) value = normal(random);
    out[name] = bf16_of(shape, values);
  };
  const auto linear = [&](const std::string& name, std::int64_t rows, std::int64_t columns) {
    add(name + ".weight", {rows, columns});
  };
  linear("x_embedder", width, 32);
  linear("context_embedder", width, 48);
  linear("time_guidance_embed.timestep_embedder.linear_1", width, 32);
  linear("time_guidance_embed.timestep_embedder.linear_2", width, width);
  for (const char* name : {"double_stream_modulation_img", "double_stream_modulation_txt"}) {
    linear(std::string(name) + ".linear", 6 * width, width);
  }
  linear("single_stream_modulation.linear", 3 * width, width);
  linear("norm_out.linear", 2 * width, width);
  linear("proj_out", 32, width);
  for (const std::string block : {"transformer_blocks.0.", "transformer_blocks.11."}) {
    for (const char* name : {"to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj",
                             "add_v_proj", "to_add_out"}) {
      linear(block + "attn." + name, width, width);
    }
    for (const char* name : {"norm_q", "norm_k", "norm_added_q", "norm_added_k"}) {
      add(block + "attn." + name + ".weight", {width});
    }
    for (const char* name : {"ff", "ff_context"}) {
      linear(block + name + ".linear_in", 2 * mlp, width);
      linear(block + name + ".linear_out", width, mlp);
    }
  }
  linear("single_transformer_blocks.0.attn.to_qkv_mlp_proj", 3 * width + 2 * mlp, width);
  linear("single_transformer_blocks.0.attn.to_out", width, width + mlp);
  add("single_transformer_blocks.0.attn.norm_q.weight", {width});
  add("single_transformer_blocks.0.attn.norm_k.weight", {width});
  return out;
}

TEST(NormalizedView, GivesAFlux1FileWithBflNamesBackAsDiffusers) {
  for (const char* name : {"bfl", "comfy"}) {
    TemporaryFolder folder;
    OwnedTensors stored = in_dialect(tiny(), dialect(flux1_family(), name));
    EXPECT_FALSE(stored.contains("x_embedder.weight"));
    if (std::string(name) == "comfy") stored["vae.decoder.conv_in.bias"] = f32_tensor({1, 2});
    const TransformerSource source = load_file(folder, stored);
    expect_equal(load_tensors(*source.tensors), tiny());
    EXPECT_EQ(source.quant.scheme, Scheme::none);
    EXPECT_EQ(source.detection.dialect, name);
    ASSERT_NE(source.detection.variant, nullptr);
    EXPECT_EQ(source.detection.variant->name, "tiny");
  }
}

TEST(NormalizedView, DeducesTheArchitectureOfAFileWithoutConfig) {
  TemporaryFolder folder;
  const OwnedTensors packed =
      packed_bfl(nvfp4_of(tiny(), flux1_family()), dialect(flux1_family(), "bfl"));
  const TransformerSource source = load_file(folder, packed);
  const Json expected = tiny_config();
  for (const auto& [key, value] : expected.items()) {
    if (key.starts_with("_") && key != "_class_name") continue;
    EXPECT_EQ(source.config.value(key, Json()), key == "out_channels" ? Json(64) : value) << key;
  }
}

TEST(NormalizedView, TakesTheArchitectureFromMetadataWhereTheFileHasIt) {
  TemporaryFolder folder;
  Json config = tiny_config();
  config["axes_dims_rope"] = {32, 48, 48};
  const TransformerSource source =
      load_file(folder, tiny(), {{"format", "pt"}, {"config", dump_json(config)}});
  EXPECT_EQ(source.config["axes_dims_rope"], config["axes_dims_rope"]);
}

TEST(NormalizedView, TakesTheConfigBesideASingleFile) {
  TemporaryFolder folder;
  load_folder(folder, tiny(), nullptr);
  const TransformerSource source =
      resolve_transformer(folder / "diffusion_pytorch_model.safetensors", "");
  EXPECT_EQ(source.config_path, folder / "config.json");
  EXPECT_EQ(source.config["num_layers"], 2);
}

TEST(NormalizedView, NamesFilesWhoseArchitectureNothingTells) {
  TemporaryFolder folder;
  const auto error = error_of([&] { load_file(folder, {{"a.weight", f32_tensor({1})}}); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::unknown_family);
}

TEST(NormalizedView, GivesEveryFormOfNvfp4TheSameTensors) {
  const OwnedTensors expected = nvfp4_of(tiny(), flux1_family());
  const DialectMark& bfl = dialect(flux1_family(), "bfl");
  const auto check = [&](const OwnedTensors& stored, const Json& quantization) {
    TemporaryFolder folder;
    const TransformerSource source = load_folder(folder, stored, quantization);
    EXPECT_EQ(source.quant.scheme, Scheme::nvfp4);
    expect_equal(load_tensors(*source.tensors), expected);
  };
  const auto with = [](Json keys) {
    Json config = kNvfp4;
    config.update(keys);
    return config;
  };
  check(expected, kNvfp4);
  check(expected, nullptr);
  check(packed_bfl(expected, bfl), nullptr);
  check(packed_bfl(expected, bfl), with({{"checkpoint_uses_packed_qkv", true}}));
  OwnedTensors only_swapped = expected;
  for (const auto& module : packed_modules(only_swapped))
    swap_nibbles_of(only_swapped.at(module + ".weight"));
  check(only_swapped, with({{"swap_weight_nibbles", true}}));
  OwnedTensors swizzled = expected;
  for (const auto& module : packed_modules(swizzled))
    swizzle_of(swizzled.at(module + ".weight_scale"));
  check(swizzled, with({{"checkpoint_weight_scale_layout", "swizzled"}}));
  check(in_dialect(expected, bfl),
        with({{"swap_weight_nibbles", false}, {"checkpoint_weight_scale_layout", "linear"}}));
  check(in_dialect(expected, bfl), with({{"checkpoint_uses_packed_qkv", false}}));
}

TEST(NormalizedView, ReadsTheSameWithAndWithoutMapping) {
  TemporaryFolder folder;
  const OwnedTensors expected = nvfp4_of(tiny(), flux1_family());
  write_tensors(folder / "m.safetensors", packed_bfl(expected, dialect(flux1_family(), "bfl")));
  expect_equal(
      load_tensors(
          *resolve_transformer(folder / "m.safetensors", "", {.access = Access::copy}).tensors),
      expected);
}

TEST(NormalizedView, UndoesPackingForRandomShapes) {
  std::mt19937 random(20);
  for (int round = 0; round < 20; ++round) {
    SCOPED_TRACE(round);
    const OwnedTensors plain = random_flux2(random);
    const OwnedTensors expected = nvfp4_of(plain, flux2_family());
    for (const char* name : {"bfl", "comfy"}) {
      TemporaryFolder folder;
      const TransformerSource source =
          load_folder(folder, packed_bfl(expected, dialect(flux2_family(), name)), nullptr,
                      {{"_class_name", "Flux2Transformer2DModel"}});
      expect_equal(load_tensors(*source.tensors), expected);
    }
  }
}

TEST(NormalizedView, FollowsTheShapeWherePaddingTellsTheLayout) {
  std::mt19937 random(3);
  OwnedTensors expected = nvfp4_of(random_flux2(random), flux2_family());
  // Names of diffusers, so linear by habit; 128x4 tiles of these shapes are padded.
  OwnedTensors swizzled = expected;
  for (const auto& module : packed_modules(swizzled))
    swizzle_of(swizzled.at(module + ".weight_scale"));
  TemporaryFolder folder;
  const Json config = {{"_class_name", "Flux2Transformer2DModel"}};
  const TransformerSource source = load_folder(folder, swizzled, kNvfp4, config);
  expect_equal(load_tensors(*source.tensors), expected);
  EXPECT_THAT(source.reasons, Contains(HasSubstr("by their shape")));

  Json linear = kNvfp4;
  linear["checkpoint_weight_scale_layout"] = "linear";
  EXPECT_EQ(code_of([&] { load_folder(folder, swizzled, linear, config); }), "wrong_shape");
}

TEST(NormalizedView, TakesFusedLayersOfDiffusersApart) {
  TemporaryFolder folder;
  OwnedTensors fused = in_dialect(tiny(), dialect(flux1_family(), "diffusers"));
  EXPECT_FALSE(fused.contains("transformer_blocks.0.attn.to_q.weight"));
  EXPECT_TRUE(fused.contains("transformer_blocks.0.attn.to_added_qkv.weight"));
  expect_equal(load_tensors(*load_folder(folder, fused, nullptr).tensors), tiny());

  fused["transformer_blocks.0.attn.to_q.weight"] =
      tiny().at("transformer_blocks.0.attn.to_q.weight");
  EXPECT_EQ(code_of([&] { load_folder(folder, fused, nullptr); }), "duplicate_tensor");
}

TEST(NormalizedView, SharesOrSplitsTheScalesOfFusedFp8Layers) {
  OwnedTensors apart = tiny();
  quantize_fp8(apart, [](const std::string& module) {
    return module.starts_with("single_transformer_blocks");
  });
  const DialectMark& bfl = dialect(flux1_family(), "bfl");
  OwnedTensors stored = in_dialect(apart, bfl);
  EXPECT_EQ(stored.at("single_blocks.0.linear1.weight_scale").shape, Shape{4});
  EXPECT_EQ(stored.at("single_blocks.0.linear1.input_scale").shape, Shape{});
  TemporaryFolder folder;
  const TransformerSource source = load_folder(folder, stored, kFp8);
  for (auto& [name, tensor] : apart) {
    const bool of_fused =
        name.find("to_") != std::string::npos || name.find("proj_mlp") != std::string::npos;
    if (name.ends_with("weight_scale") && of_fused) tensor.shape = {1};
  }
  expect_equal(load_tensors(*source.tensors), apart);

  // One scale for each row, and one that does not fit.
  OwnedTensor rows = f32_tensor(std::vector<float>(7 * 256, 0.5f));
  codes_of(rows)[3 * 256 * 4] = 1;
  stored["single_blocks.0.linear1.weight_scale"] = rows;
  const OwnedTensors split = load_tensors(*load_folder(folder, stored, kFp8).tensors);
  EXPECT_EQ(split.at("single_transformer_blocks.0.attn.to_k.weight_scale").shape, Shape{256});
  EXPECT_EQ(split.at("single_transformer_blocks.0.proj_mlp.weight_scale").shape, Shape{1024});
  EXPECT_EQ(split.at("single_transformer_blocks.0.proj_mlp.weight_scale").bytes[0], std::byte{1});
  stored["single_blocks.0.linear1.weight_scale"] = f32_tensor({1, 2, 3});
  EXPECT_EQ(code_of([&] { load_folder(folder, stored, kFp8); }), "wrong_shape");
}

TEST(NormalizedView, ReadsTheScalesOfOlderScaledFp8Files) {
  OwnedTensors apart = tiny();
  quantize_fp8(apart, [](const std::string& module) { return module.ends_with("ff.net.2"); });
  OwnedTensors stored;
  for (const auto& [name, tensor] : in_dialect(apart, dialect(flux1_family(), "comfy"))) {
    TensorName parts = split_tensor_name(name);
    if (parts.parameter == "weight_scale") parts.parameter = "scale_weight";
    if (parts.parameter == "input_scale") parts.parameter = "scale_input";
    stored[parts.joined()] = tensor;
  }
  stored["model.diffusion_model.scaled_fp8"] = f32_tensor({0});
  TemporaryFolder folder;
  expect_equal(load_tensors(*load_file(folder, stored).tensors), apart);

  const std::string layer = "model.diffusion_model.double_blocks.0.img_mlp.2.";
  stored[layer + "weight_scale"] = stored.at(layer + "scale_weight");
  EXPECT_EQ(code_of([&] { load_file(folder, stored); }), "duplicate_tensor");
}

TEST(NormalizedView, ReadsComfyMarkersOfSingleLayers) {
  const OwnedTensors expected = nvfp4_of(tiny(), flux1_family());
  OwnedTensors stored = expected;  // diffusers names: the markers alone tell the layout
  pack_as_comfy(stored);
  for (const std::string& module : packed_modules(expected))
    stored[module + ".comfy_quant"] = text_tensor(R"({"format": "nvfp4"})");
  TemporaryFolder folder;
  const TransformerSource source = load_folder(folder, stored, nullptr);
  expect_equal(load_tensors(*source.tensors), expected);
  EXPECT_THAT(source.quant.source, HasSubstr("comfy_quant"));
  EXPECT_THAT(source.reasons, Contains(HasSubstr("ComfyUI")));

  OwnedTensors legacy = stored;
  for (const std::string& module : packed_modules(expected))
    legacy.at(module + ".weight_scale").dtype = Dtype::u8;
  EXPECT_EQ(packed_modules(legacy).size(), packed_modules(expected).size());
  expect_equal(load_tensors(*load_folder(folder, legacy, nullptr).tensors), expected);

  const std::string marker = packed_modules(expected).front() + ".comfy_quant";
  stored[marker] = text_tensor(R"({"format": "mxfp8"})");
  EXPECT_EQ(code_of([&] { load_folder(folder, stored, nullptr); }), "unsupported");
  stored[marker] = text_tensor(R"({"kind": "nvfp4"})");
  EXPECT_EQ(code_of([&] { load_folder(folder, stored, nullptr); }), "json_type");
  stored[marker] = text_tensor("\xff\x94 nvfp4");
  const auto error = error_of([&] { load_folder(folder, stored, nullptr); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::json_syntax);
  EXPECT_EQ(std::string(error->what()).find('\x94'), std::string::npos);
}

TEST(NormalizedView, ReadsLayerFormatsOfTheMetadata) {
  const OwnedTensors expected = nvfp4_of(tiny(), flux1_family());
  const DialectMark& bfl = dialect(flux1_family(), "bfl");
  const auto metadata = [](const OwnedTensors& stored) {
    Json layers = Json::object();
    for (const std::string& module : packed_modules(stored)) layers[module] = {{"format", "nvfp4"}};
    return std::map<std::string, std::string>{
        {"_quantization_metadata", dump_json({{"format_version", "1.0"}, {"layers", layers}})}};
  };
  TemporaryFolder folder;
  const OwnedTensors packed = packed_bfl(expected, bfl);
  const TransformerSource source = load_file(folder, packed, metadata(packed));
  expect_equal(load_tensors(*source.tensors), expected);
  EXPECT_THAT(source.quant.source, HasSubstr("_quantization_metadata"));
  // Names without the dialect's prefix, as some tools write them.
  OwnedTensors comfy = in_dialect(expected, dialect(flux1_family(), "comfy"));
  pack_as_comfy(comfy);
  expect_equal(load_tensors(*load_file(folder, comfy, metadata(packed)).tensors), expected);
  // A layer that is not what the metadata says.
  auto wrong = metadata(packed);
  Json document = parse_json(wrong["_quantization_metadata"], "metadata");
  document["layers"]["img_in"] = {{"format", "nvfp4"}};
  wrong["_quantization_metadata"] = dump_json(document);
  EXPECT_EQ(code_of([&] { load_file(folder, packed, wrong); }), "wrong_dtype");
  // ModelOpt writes the same document beside its own order.
  expect_equal(load_tensors(*load_file(folder, expected, metadata(expected)).tensors), expected);
}

TEST(NormalizedView, InfersTheIgnoreListInDiffusersNames) {
  TemporaryFolder folder;
  OwnedTensors plain_text = tiny();
  quantize_nvfp4(plain_text, [](const std::string& module) {
    return module.find("attn.to_") != std::string::npos && module.starts_with("transformer_blocks")
               ? bfl_module(flux1_family(), module)
               : "";
  });
  const TransformerSource source =
      load_file(folder, packed_bfl(plain_text, dialect(flux1_family(), "bfl")));
  EXPECT_THAT(source.quant.source, HasSubstr("nothing declares"));
  EXPECT_TRUE(source.quant.ignores("transformer_blocks.0.attn.add_q_proj"));
  EXPECT_TRUE(source.quant.ignores("single_transformer_blocks.3.proj_mlp"));
  EXPECT_FALSE(source.quant.ignores("transformer_blocks.0.attn.to_q"));
}

TEST(NormalizedView, TranslatesIgnoredNamesOfTheStoredDialect) {
  TemporaryFolder folder;
  Json config = kNvfp4;
  config["ignore"] = {"single_blocks.*", "double_blocks.1.txt_attn.qkv", "proj_out"};
  OwnedTensors some = tiny();
  quantize_nvfp4(some, [](const std::string& module) {
    return module.starts_with("transformer_blocks") && module.find("norm_") == std::string::npos
               ? bfl_module(flux1_family(), module)
               : "";
  });
  const TransformerSource source =
      load_folder(folder, packed_bfl(some, dialect(flux1_family(), "bfl")), config);
  for (const char* module : {"single_transformer_blocks.2.proj_mlp", "proj_out",
                             "transformer_blocks.1.attn.add_v_proj"}) {
    EXPECT_TRUE(source.quant.ignores(module)) << module;
  }
  EXPECT_FALSE(source.quant.ignores("transformer_blocks.0.attn.add_v_proj"));
}

TEST(NormalizedView, LoadsNvfp4WithoutInputScale) {
  TemporaryFolder folder;
  OwnedTensors expected = nvfp4_of(tiny(), flux1_family());
  std::erase_if(expected, [](const auto& entry) { return entry.first.ends_with("input_scale"); });
  expect_equal(load_tensors(*load_folder(folder, expected, kNvfp4).tensors), expected);
}

TEST(NormalizedView, PassesSvdquantsTensorsThroughAndLeavesQuantizersOut) {
  TemporaryFolder folder;
  OwnedTensors expected = nvfp4_of(tiny(), flux1_family());
  const std::string layer = "transformer_blocks.0.attn.to_q.";
  expected[layer + "pre_quant_scale"] = bf16_of({256}, std::vector<float>(256, 1.0f));
  expected[layer + "svdquant_lora_a"] = bf16_of({2, 256}, std::vector<float>(512, 0.5f));
  expected[layer + "svdquant_lora_b"] = bf16_of({256, 2}, std::vector<float>(512, 0.25f));
  OwnedTensors stored = expected;
  stored["transformer_blocks.0.attn.q_bmm_quantizer._amax"] = f32_tensor({1});
  Json config = kNvfp4;
  config["quant_algo"] = "NVFP4_SVD";
  const TransformerSource source = load_folder(folder, stored, config);
  expect_equal(load_tensors(*source.tensors), expected);
  EXPECT_TRUE(source.quant.nvfp4.svdquant);
}

TEST(NormalizedView, TakesTheDeclarationNearestToReplacedWeights) {
  TemporaryFolder base;
  load_folder(base, tiny(), nullptr);
  TemporaryFolder fp4;
  const OwnedTensors expected = nvfp4_of(tiny(), flux1_family());
  OwnedTensors swapped = expected;
  for (const auto& module : packed_modules(swapped))
    swap_nibbles_of(swapped.at(module + ".weight"));
  Json config = kNvfp4;
  config["swap_weight_nibbles"] = true;
  load_folder(fp4, swapped, config);
  const TransformerSource source = resolve_transformer(base.path().string(), fp4.path().string());
  expect_equal(load_tensors(*source.tensors), expected);
  EXPECT_EQ(source.config_path, base / "config.json");
  EXPECT_EQ(source.quant.source, fp4 / "config.json");

  // A base that declares FP8 says nothing about BF16 weights in its place.
  TemporaryFolder fp8;
  OwnedTensors codes = tiny();
  quantize_fp8(codes, [](const std::string& module) { return module.ends_with("to_q"); });
  load_folder(fp8, codes, kFp8);
  EXPECT_EQ(resolve_transformer(fp8.path().string(), base.path().string()).quant.scheme,
            Scheme::none);
}

struct Damage {
  const char* what;
  const char* code;
  std::function<void(OwnedTensors&, Json&)> apply;
};

const std::string kLayer = "transformer_blocks.1.ff.net.2.";

std::vector<Damage> damages() {
  const auto erase = [](const char* parameter) {
    return [=](OwnedTensors& t, Json&) { t.erase(kLayer + parameter); };
  };
  const auto scalar = [](const char* parameter, std::vector<float> values) {
    return [=](OwnedTensors& t, Json&) { t[kLayer + parameter] = f32_tensor(values); };
  };
  const auto scale_byte = [](std::uint8_t code) {
    return [=](OwnedTensors& t, Json&) { codes_of(t.at(kLayer + "weight_scale"))[77] = code; };
  };
  const auto key = [](const char* name, Json value) {
    return [=](OwnedTensors&, Json& config) { config[name] = value; };
  };
  return {
      {"weight_scale missing", "weight_without_scale", erase("weight_scale")},
      {"weight_scale_2 missing", "weight_without_scale", erase("weight_scale_2")},
      {"weight missing", "scale_without_weight", erase("weight")},
      {"weight_scale_2 zero", "bad_scale", scalar("weight_scale_2", {0})},
      {"weight_scale_2 negative", "bad_scale", scalar("weight_scale_2", {-1})},
      {"weight_scale_2 infinite", "bad_scale", scalar("weight_scale_2", {INFINITY})},
      {"input_scale NaN", "bad_scale", scalar("input_scale", {NAN})},
      {"weight_scale_2 of two values", "wrong_shape", scalar("weight_scale_2", {1, 1})},
      {"weight_scale in F32", "wrong_dtype", scalar("weight_scale", {1})},
      {"weight_scale_2 in BF16", "wrong_dtype",
       [](OwnedTensors& t, Json&) { t[kLayer + "weight_scale_2"] = bf16_of({}, {1}); }},
      {"a scale byte is NaN", "bad_scale", scale_byte(0x7f)},
      {"a scale byte is negative NaN", "bad_scale", scale_byte(0xff)},
      {"a scale byte is negative", "bad_scale", scale_byte(0x81)},
      {"K no multiple of 16", "wrong_shape",
       [](OwnedTensors& t, Json&) {
         OwnedTensor& weight = t.at(kLayer + "weight");
         weight.shape = {256 * 512 / 12, 12};
         weight.bytes.resize(static_cast<std::size_t>(weight.shape[0] * 12));
       }},
      {"odd K", "wrong_shape",
       [](OwnedTensors& t, Json&) {
         OwnedTensor& weight = t.at(kLayer + "weight");
         weight.shape = {256, 511};
         weight.bytes.resize(256 * 511);
       }},
      {"packed weight with one dimension", "wrong_shape",
       [](OwnedTensors& t, Json&) { t.at(kLayer + "weight").shape = {256 * 512}; }},
      {"block scales of half the columns", "wrong_shape",
       [](OwnedTensors& t, Json&) {
         OwnedTensor& scales = t.at(kLayer + "weight_scale");
         scales.shape[1] /= 2;
         scales.bytes.resize(scales.bytes.size() / 2);
       }},
      {"block scales transposed", "wrong_shape",
       [](OwnedTensors& t, Json&) {
         OwnedTensor& scales = t.at(kLayer + "weight_scale");
         std::swap(scales.shape[0], scales.shape[1]);
       }},
      {"FP8 declared", "wrong_dtype", key("quant_algo", "FP8")},
      {"an FP8 weight among them", "wrong_dtype",
       [](OwnedTensors& t, Json&) {
         quantize_fp8(t, [](const std::string& module) { return module == "x_embedder"; });
       }},
      {"group_size 32", "unsupported", key("group_size", 32)},
      {"two group sizes", "bad_config",
       key("config_groups", {{"group_0", {{"weights", {{"group_size", 32}}}}}})},
      {"group_size is text", "json_type", key("group_size", "16")},
      {"swap_weight_nibbles is a number", "json_type", key("swap_weight_nibbles", 1)},
      {"an unknown layout", "bad_config", key("checkpoint_weight_scale_layout", "blocked")},
      {"NVFP4_AWQ", "unsupported", key("quant_algo", "NVFP4_AWQ")},
      {"W4A16_NVFP4", "unsupported", key("quant_algo", "W4A16_NVFP4")},
      {"MXFP8", "unsupported", key("quant_algo", "mxfp8")},
      {"FP4", "unsupported", key("quant_algo", "FP4")},
      {"an unknown algorithm", "wrong_quant_method", key("quant_algo", "NVFP5")},
      {"method and algorithm contradict", "wrong_quant_method",
       key("quant_method", "modelopt_fp8")},
  };
}

TEST(NormalizedView, NamesEveryDamage) {
  const OwnedTensors sound = nvfp4_of(tiny(), flux1_family());
  for (const Damage& damage : damages()) {
    SCOPED_TRACE(damage.what);
    OwnedTensors tensors = sound;
    Json config = kNvfp4;
    damage.apply(tensors, config);
    TemporaryFolder folder;
    const auto error =
        error_of([&] { load_tensors(*load_folder(folder, tensors, config).tensors); });
    ASSERT_TRUE(error);
    EXPECT_EQ(name(error->code()), damage.code) << error->what();
    EXPECT_NE(error->facts().path, "") << error->what();
  }
}

TEST(NormalizedView, RefusesFp4TensorsUnderAnFp8ConfigAndTheReverse) {
  TemporaryFolder folder;
  OwnedTensors fp8 = tiny();
  quantize_fp8(fp8, [](const std::string& module) { return module.ends_with("to_q"); });
  EXPECT_EQ(code_of([&] { load_folder(folder, fp8, kNvfp4); }), "wrong_dtype");
  EXPECT_EQ(code_of([&] { load_folder(folder, tiny(), kNvfp4); }), "not_quantized");
}

}  // namespace
}  // namespace ditq::test
