// The damaged inputs of golden/families/errors.json that concern the NVFP4 builder, and what ditq
// does with each: docs/formats/decisions.md lists them with reasons. A refusal leaves an existing
// output as it was, and nothing else.

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <set>

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/json.h"
#include "convert/build_nvfp4.h"
#include "convert/small_export.h"
#include "format/checkpoint.h"
#include "format/helpers.h"
#include "quant/nvfp4.h"
#include "support/paths.h"

namespace ditq::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLayer = "transformer_blocks.0.attn.to_q";
constexpr const char* kOther = "transformer_blocks.0.norm1.linear";
constexpr const char* kAccepted = "ok";
/// Decided before a request exists: tests/cli.
constexpr const char* kCommandLine = "command line";

// A FLUX.1-like transformer of two NVFP4 layers, one of them in the preset's set, a plain one and a
// norm.
struct SmallNvfp4 {
  Json config = parse_json(
      R"({"_class_name": "FluxTransformer2DModel", "quantization_config": {"config_groups": {},
      "ignore": ["x_embedder"], "quant_algo": "NVFP4", "quant_method": "modelopt"}})",
      "config.json");
  Json& quantization = config["quantization_config"];
  OwnedTensors tensors;
  OwnedTensors base;
  bool two_shards = false;
  bool two_base_shards = false;

  SmallNvfp4() {
    for (const char* layer : {kLayer, kOther}) {
      base[std::string(layer) + ".weight"] = bf16_tensor({8, 32});
      base[std::string(layer) + ".bias"] = bf16_tensor({8});
    }
    base["x_embedder.weight"] = bf16_tensor({8, 8});
    base["transformer_blocks.0.attn.norm_q.weight"] = bf16_tensor({16});
    tensors = base;
    for (const char* layer : {kLayer, kOther}) quantize(layer);
  }
  SmallNvfp4(const SmallNvfp4&) = delete;
  SmallNvfp4& operator=(const SmallNvfp4&) = delete;

  OwnedTensor& of(const std::string& suffix) { return tensors[kLayer + suffix]; }

  void write(const TemporaryFolder& folder) const {
    for (const char* part : {"export", "base"}) fs::create_directories(folder / part);
    put_file(folder / "export/config.json", dump_json(config));
    put_file(folder / "base/config.json", "{}");
    write_tensors(folder / "export/", tensors, two_shards);
    write_tensors(folder / "base/", base, two_base_shards);
  }

 private:
  void quantize(const std::string& layer) {
    const OwnedTensor plain = base[layer + ".weight"];
    OwnedTensor packed{.dtype = Dtype::u8, .shape = {8, 16}, .bytes = {}};
    OwnedTensor scales{.dtype = Dtype::f8_e4m3, .shape = {8, 2}, .bytes = {}};
    packed.bytes.resize(8 * 16);
    scales.bytes.resize(8 * 2);
    const float global_scale = nvfp4_global_scale(1.0f);
    quantize_nvfp4(plain.dtype, plain.bytes, global_scale,
                   {reinterpret_cast<std::uint8_t*>(packed.bytes.data()), packed.bytes.size()},
                   {reinterpret_cast<std::uint8_t*>(scales.bytes.data()), scales.bytes.size()});
    tensors[layer + ".weight"] = packed;
    tensors[layer + ".weight_scale"] = scales;
    tensors[layer + ".weight_scale_2"] = f32_scalar(global_scale);
    tensors[layer + ".input_scale"] = f32_scalar(3.0f / 2688.0f);
  }

  static void write_tensors(const std::string& folder, const OwnedTensors& tensors, bool split) {
    std::vector<TensorData> parts[2];
    for (const auto& [name, tensor] : tensors) {
      auto& part = parts[split && name.starts_with("x_") ? 1 : 0];
      part.push_back({name, tensor.dtype, tensor.shape, tensor.bytes});
    }
    write_safetensors(folder + "diffusion_pytorch_model.safetensors", parts[0], {});
    if (split) write_safetensors(folder + "second.safetensors", parts[1], {});
  }
};

struct Damage {
  std::string name;  // as in errors.json; further ones start with "+ "
  std::string expected;
  std::function<void(SmallNvfp4&)> before = {};
  std::function<void(BuildNvfp4Request&, const TemporaryFolder&)> request = {};
};

std::function<void(SmallNvfp4&)> quant_algo(const Json& algorithm) {
  return [algorithm](SmallNvfp4& small) { small.quantization["quant_algo"] = algorithm; };
}

std::function<void(SmallNvfp4&)> without(const std::string& suffix) {
  return [suffix](SmallNvfp4& small) { small.tensors.erase(kLayer + suffix); };
}

std::function<void(SmallNvfp4&)> scale(const std::string& suffix, float value) {
  return [=](SmallNvfp4& small) { small.of(suffix) = f32_scalar(value); };
}

std::function<void(SmallNvfp4&)> block_scale_byte(unsigned code) {
  return [code](SmallNvfp4& small) {
    small.of(".weight_scale").bytes[5] = static_cast<std::byte>(code);
  };
}

std::function<void(BuildNvfp4Request&, const TemporaryFolder&)> keep(const std::string& pattern) {
  return [pattern](BuildNvfp4Request& request, const TemporaryFolder&) {
    request.keep_bf16_patterns = {pattern};
  };
}

std::vector<Damage> recorded_damages() {
  return {
      {"output folder exists",
       "output_exists",
       {},
       [](BuildNvfp4Request& request, const TemporaryFolder&) { request.overwrite = false; }},
      {"quant_algo is FP8", "wrong_quant_method", quant_algo("FP8")},
      {"quant_algo is NVFP4_SVD", "unsupported", quant_algo("NVFP4_SVD")},
      {"quant_algo is MXFP4", "unsupported", quant_algo("MXFP4")},
      {"quant_algo missing", "wrong_quant_method",
       [](SmallNvfp4& small) { small.quantization.erase("quant_algo"); }},
      {"quant_method is compressed-tensors", "wrong_quant_method",
       [](SmallNvfp4& small) { small.quantization["quant_method"] = "compressed-tensors"; }},
      {"no quantization_config", "not_quantized",
       [](SmallNvfp4& small) { small.config.erase("quantization_config"); }},
      {"base folder missing",
       "file_not_found",
       {},
       [](BuildNvfp4Request& request, const TemporaryFolder& folder) {
         request.base_transformer_dir = folder / "nowhere";
       }},
      {"--base-transformer-dir missing on the command line",
       "usage",
       {},
       [](BuildNvfp4Request& request, const TemporaryFolder&) {
         request.base_transformer_dir = "";
       }},
      {"two base shards without an index", "ambiguous_shards",
       [](SmallNvfp4& small) { small.two_base_shards = true; }},
      {"two export shards without an index", "ambiguous_shards",
       [](SmallNvfp4& small) { small.two_shards = true; }},
      {"unknown preset",
       "usage",
       {},
       [](BuildNvfp4Request& request, const TemporaryFolder&) {
         request.pattern_preset = "flux2-nvfp4";
       }},
      {"a pattern is no regular expression", "bad_pattern", {}, keep("(")},
      {"one weight_scale_2 missing in the export", "weight_without_scale",
       without(".weight_scale_2")},
      {"one block scale has too few columns", "wrong_shape",
       [](SmallNvfp4& small) {
         small.of(".weight_scale").shape = {8, 1};
         small.of(".weight_scale").bytes.resize(8);
       }},
      {"a fallback module is missing in the base", "missing_tensor",
       [](SmallNvfp4& small) {
         std::erase_if(small.base,
                       [](const auto& entry) { return entry.first.starts_with(kLayer); });
       },
       keep(kLayer)},
      {"both nibble options given", kCommandLine},
  };
}

std::vector<Damage> further_damages() {
  return {
      {"+ quant_algo is nvfp4 in lower case", "wrong_quant_method", quant_algo("nvfp4")},
      {"+ quant_algo is a number", "json_type", quant_algo(4)},
      {"+ ignore is a string", "json_type",
       [](SmallNvfp4& small) { small.quantization["ignore"] = "x_embedder"; }},
      {"+ one weight_scale missing in the export", "weight_without_scale",
       without(".weight_scale")},
      {"+ one weight missing in the export", "scale_without_weight", without(".weight")},
      {"+ one input_scale missing in the export", kAccepted, without(".input_scale")},
      {"+ no weight is packed", "not_quantized",
       [](SmallNvfp4& small) { small.tensors = small.base; }},
      {"+ a packed row is no multiple of 8 bytes", "wrong_shape",
       [](SmallNvfp4& small) {
         small.of(".weight").shape = {8, 15};
         small.of(".weight").bytes.resize(8 * 15);
       }},
      {"+ a packed weight is no matrix", "wrong_shape",
       [](SmallNvfp4& small) { small.of(".weight").shape = {128}; }},
      {"+ a weight with scales is FP8", "wrong_dtype",
       [](SmallNvfp4& small) { small.of(".weight").dtype = Dtype::f8_e4m3; }},
      {"+ block scales are bytes", "wrong_dtype",
       [](SmallNvfp4& small) { small.of(".weight_scale").dtype = Dtype::u8; }},
      {"+ a block scale is NaN", "bad_scale", block_scale_byte(0x7f)},
      {"+ a block scale is negative", "bad_scale", block_scale_byte(0xb8)},
      {"+ a block scale is zero", kAccepted, block_scale_byte(0)},
      {"+ weight_scale_2 is zero", "bad_scale", scale(".weight_scale_2", 0.0f)},
      {"+ weight_scale_2 is NaN", "bad_scale",
       scale(".weight_scale_2", std::numeric_limits<float>::quiet_NaN())},
      {"+ input_scale is infinite", "bad_scale",
       scale(".input_scale", std::numeric_limits<float>::infinity())},
      {"+ weight_scale_2 has several elements", "wrong_shape",
       [](SmallNvfp4& small) {
         small.of(".weight_scale_2") = f32_scalar(1.0f);
         small.of(".weight_scale_2").shape = {2};
         small.of(".weight_scale_2").bytes.resize(8);
       }},
      {"+ broken scales of a layer that stays in BF16", kAccepted, scale(".weight_scale_2", 0.0f),
       keep(kLayer)},
      {"+ quant_algo is NVFP4 and there are low-rank tensors", "unsupported",
       [](SmallNvfp4& small) {
         small.tensors[std::string(kLayer) + ".svdquant_lora_a"] = bf16_tensor({4, 32});
       }},
      {"+ the base lacks the bias of a fallback module", "missing_tensor",
       [](SmallNvfp4& small) { small.base.erase(std::string(kLayer) + ".bias"); }, keep(kLayer)},
      {"+ a fallback weight has another shape in the base", "wrong_shape",
       [](SmallNvfp4& small) {
         small.base[std::string(kLayer) + ".weight"] = bf16_tensor({8, 64});
       },
       keep(kLayer)},
      {"+ the base is quantized itself", "wrong_shape",
       [](SmallNvfp4& small) { small.base = small.tensors; }, keep(kLayer)},
      {"+ the base is FP8", "wrong_dtype",
       [](SmallNvfp4& small) {
         OwnedTensor& weight = small.base[std::string(kLayer) + ".weight"];
         weight.dtype = Dtype::f8_e4m3;
         weight.bytes.resize(8 * 32);
       },
       keep(kLayer)},
      {"+ --pattern-preset fits nothing", "family_mismatch",
       [](SmallNvfp4& small) {
         std::erase_if(small.tensors,
                       [](const auto& entry) { return entry.first.starts_with(kOther); });
       },
       [](BuildNvfp4Request& request, const TemporaryFolder&) {
         request.pattern_preset = "flux1-nvfp4";
       }},
      {"+ a pattern matches no module", kAccepted, {}, keep("nowhere.*")},
      {"+ the ignore list names a BF16 layer in a way that loaders do not read",
       kAccepted,
       {},
       keep("transformer_blocks.[0].attn.to_q")},
      {"+ every layer stays in BF16", kAccepted, {}, keep("*")},
      {"+ the output is the base",
       "output_overlaps",
       {},
       [](BuildNvfp4Request& request, const TemporaryFolder& folder) {
         request.output_dir = folder / "base";
       }},
  };
}

std::vector<Damage> all_damages() {
  std::vector<Damage> all = recorded_damages();
  for (const Damage& damage : further_damages()) all.push_back(damage);
  return all;
}

// Names and contents of everything in a folder.
std::map<std::string, std::string> snapshot(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    files[entry.path().string()] = entry.is_regular_file() ? get_file(entry.path().string()) : "";
  }
  return files;
}

BuildNvfp4Request request_in(const TemporaryFolder& folder) {
  return {.base_transformer_dir = folder / "base",
          .modelopt_hf_dir = folder / "export",
          .output_dir = folder / "out",
          .swap_weight_nibbles = false,
          .overwrite = true};
}

class Nvfp4DamagedInput : public testing::TestWithParam<Damage> {};

TEST_P(Nvfp4DamagedInput, IsDecidedAndLeavesTheOldOutput) {
  const Damage& damage = GetParam();
  if (damage.expected == kCommandLine) GTEST_SKIP() << "decided by the command line";
  const TemporaryFolder folder;
  SmallNvfp4 small;
  if (damage.before) damage.before(small);
  small.write(folder);
  fs::create_directory(folder / "out");
  put_file(folder / "out/precious.txt", "precious");
  BuildNvfp4Request request = request_in(folder);
  if (damage.request) damage.request(request, folder);
  const auto before = snapshot(folder.path());
  const auto error = error_of([&] { build_nvfp4(request); });
  EXPECT_EQ(error ? std::string(name(error->code())) : "ok", damage.expected)
      << (error ? error->what() : "");
  if (damage.expected == kAccepted) {
    EXPECT_FALSE(fs::exists(folder / "out/precious.txt"));
    EXPECT_NO_THROW(Checkpoint::open(folder / "out"));
  } else {
    EXPECT_EQ(snapshot(folder.path()), before);
  }
}

INSTANTIATE_TEST_SUITE_P(Nvfp4,
                         Nvfp4DamagedInput,
                         testing::ValuesIn(all_damages()),
                         [](const auto& info) {
                           std::string name = info.param.name;
                           for (char& c : name)
                             c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
                           return std::to_string(info.index) + "_" + name;
                         });

TEST(Nvfp4DamagedInputs, CoverEveryCaseOfTheRecordedList) {
  const auto path = golden("golden/families/errors.json");
  if (!path) GTEST_SKIP() << "needs the larger goldens (DITQ_TEST_DATA)";
  std::set<std::string> decided;
  for (const Damage& damage : all_damages()) decided.insert(damage.name);
  for (const Json& recorded : read_json(path->string())) {
    if (recorded["tool"] != "build_modelopt_nvfp4_transformer") continue;
    EXPECT_TRUE(decided.contains(recorded["damage"].get<std::string>())) << recorded["damage"];
  }
}

TEST(Nvfp4DamagedInputs, AreAllListedInTheDocument) {
  std::string document = get_file((source_dir() / "docs/formats/decisions.md").string());
  const std::size_t section = document.find("what `ditq build-nvfp4` does");
  ASSERT_NE(section, std::string::npos);
  document.erase(0, section);
  for (const Damage& damage : all_damages()) {
    const std::string name = damage.name.starts_with("+ ") ? damage.name.substr(2) : damage.name;
    const std::size_t at = document.find("| " + name + " |");
    ASSERT_NE(at, std::string::npos) << name;
    const std::string row = document.substr(at, document.find('\n', at) - at);
    const bool accepted = damage.expected == kAccepted || damage.expected == kCommandLine;
    const std::string decision = accepted ? "accepted" : "refused (" + damage.expected + ")";
    EXPECT_NE(row.find("| " + decision + " |"), std::string::npos)
        << row << "\nis not: " << decision;
  }
}

// What the output's config says when the request says `swap` and `preset`.
bool written_swap(std::optional<bool> swap, const std::string& preset) {
  const TemporaryFolder folder;
  const SmallNvfp4 small;
  small.write(folder);
  BuildNvfp4Request request = request_in(folder);
  request.swap_weight_nibbles = swap;
  request.pattern_preset = preset;
  build_nvfp4(request);
  return read_json(folder / "out/config.json")["quantization_config"]["swap_weight_nibbles"]
      .get<bool>();
}

TEST(Nvfp4Nibbles, FollowTheFlagAndOtherwiseThePreset) {
  testing::internal::CaptureStderr();
  EXPECT_FALSE(written_swap(std::nullopt, "flux1-nvfp4"));
  EXPECT_TRUE(written_swap(true, "flux1-nvfp4"));
  EXPECT_TRUE(written_swap(true, "none"));
  EXPECT_FALSE(written_swap(false, "none"));
  EXPECT_EQ(testing::internal::GetCapturedStderr().find("low nibble first"), std::string::npos);
  testing::internal::CaptureStderr();
  EXPECT_TRUE(written_swap(std::nullopt, "none"));
  EXPECT_NE(testing::internal::GetCapturedStderr().find("low nibble first"), std::string::npos);
}

TEST(Nvfp4Fallback, ReplacesWeightAndBiasAndDropsTheScales) {
  const TemporaryFolder folder;
  SmallNvfp4 small;
  small.base[std::string(kLayer) + ".bias"].bytes[0] ^= std::byte{1};
  small.write(folder);
  BuildNvfp4Request request = request_in(folder);
  request.keep_bf16_patterns = {"*.attn.to_?"};  // '?' is the expression's: an optional underscore
  EXPECT_EQ(build_nvfp4(request).fallback_modules, 0u);
  request.keep_bf16_patterns = {"*.attn.to_*"};
  const BuildNvfp4Statistics statistics = build_nvfp4(request);
  EXPECT_EQ(statistics.fallback_modules, 1u);
  EXPECT_EQ(statistics.replaced_tensors, 2u);
  EXPECT_EQ(statistics.removed_aux_tensors, 3u);
  const Checkpoint written = Checkpoint::open(folder / "out");
  for (const auto& [name, tensor] : written.tensors()) {
    const OwnedTensor& source = (name.starts_with(kLayer) ? small.base : small.tensors).at(name);
    EXPECT_TRUE(std::ranges::equal(tensor->bytes(), source.bytes)) << name;
  }
  EXPECT_EQ(written.tensors().size(), small.tensors.size() - 3);
}

TEST(Nvfp4Shards, KeepTheirTensorsAndTheIndexItsName) {
  const TemporaryFolder folder;
  SmallNvfp4 small;
  small.two_shards = true;
  small.write(folder);
  Json weight_map = Json::object();
  for (const auto& [name, tensor] : small.tensors) {
    weight_map[name] =
        name.starts_with("x_") ? "second.safetensors" : "diffusion_pytorch_model.safetensors";
  }
  put_file(folder / "export/own.safetensors.index.json",
           dump_json({{"metadata", Json::object()}, {"weight_map", weight_map}}));
  EXPECT_EQ(build_nvfp4(request_in(folder)).output_shards, 2u);
  const std::string text = get_file(folder / "out/own.safetensors.index.json");
  EXPECT_TRUE(text.ends_with("}\n"));
  const Json index = parse_json(text, "index");
  EXPECT_EQ(dump_json(index["weight_map"]), dump_json(weight_map));
  const Checkpoint written = Checkpoint::open(folder / "out");
  EXPECT_EQ(index["metadata"]["total_size"].get<std::uint64_t>(), written.total_size());
  EXPECT_EQ(written.tensors().size(), small.tensors.size());
}

}  // namespace
}  // namespace ditq::test
