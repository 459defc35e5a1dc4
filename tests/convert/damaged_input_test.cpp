// The damaged inputs of golden/families/errors.json that concern the FP8 builder, and what ditq does with each:
// docs/formats/decisions.md lists them with reasons. A refusal leaves an existing output as it was, and nothing else.

#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>
#include <set>

#include <gtest/gtest.h>

#include "base/json.h"
#include "convert/build_fp8.h"
#include "convert/small_export.h"
#include "format/checkpoint.h"
#include "format/helpers.h"
#include "support/paths.h"

namespace ditq::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWeightAmax = "transformer_blocks.0.attn.to_q.weight_quantizer._amax";
constexpr const char* kShard = "export/diffusion_pytorch_model.safetensors";
constexpr const char* kIndex = "export/diffusion_pytorch_model.safetensors.index.json";
constexpr const char* kFirstShard = "diffusion_pytorch_model-00001-of-00002.safetensors";
constexpr const char* kAccepted = "ok";
/// Decided before a request exists: tests/cli.
constexpr const char* kCommandLine = "command line";

// What a case may change: the export before it is written, the files afterwards, the request.
struct Scene {
  const TemporaryFolder& folder;
  BuildFp8Request request;
  bool has_output = true;  // an output folder stands there, and --overwrite is given

  std::string path(const std::string& name) const { return folder / name; }
  void put(const std::string& name, const std::string& bytes) const { put_file(path(name), bytes); }
  std::string get(const std::string& name) const { return get_file(path(name)); }
  void remove(const std::string& name) const { fs::remove_all(path(name)); }
  void rename(const std::string& from, const std::string& to) const {
    fs::rename(path(from), path(to));
  }
  void edit_index(const std::function<void(Json&)>& edit) const {
    Json index = read_json(path(kIndex));
    edit(index);
    put(kIndex, dump_json(index));
  }
};

struct Damage {
  std::string name;  // as in errors.json
  std::string expected;
  std::function<void(SmallExport&)> before = [](SmallExport&) {};
  std::function<void(Scene&)> after = [](Scene&) {};
};

std::function<void(SmallExport&)> quantization(const std::function<void(Json&)>& edit) {
  return [edit](SmallExport& small) { edit(small.config["quantization_config"]); };
}

std::function<void(SmallExport&)> quant_algo(const std::string& algorithm) {
  return quantization([algorithm](Json& config) { config["quant_algo"] = algorithm; });
}

std::function<void(SmallExport&)> amax_value(float value) {
  return [value](SmallExport& small) { small.amax_of(kWeightAmax).values = {value}; };
}

std::function<void(SmallExport&)> split() {
  return [](SmallExport& small) { small.split(); };
}

std::vector<Damage> damages_of_arguments() {
  return {
      {"no base folder given although the profile has patterns",
       "usage",
       {},
       [](Scene& scene) { scene.request.base_transformer_dir = ""; }},
      {"output folder exists",
       "output_exists",
       {},
       [](Scene& scene) { scene.request.overwrite = false; }},
      {"output folder exists, --overwrite, and the base folder is missing",
       "file_not_found",
       {},
       [](Scene& scene) { scene.request.base_transformer_dir = scene.path("nowhere"); }},
      {"output folder exists, --overwrite, and the quantization config has no FP8",
       "wrong_quant_method", quant_algo("NVFP4")},
      {"output path is a file",
       "output_exists",
       {},
       [](Scene& scene) {
         scene.request.overwrite = false;
         scene.request.output_dir = scene.path("file");
       }},
      {"output path is a file, --overwrite",
       "output_exists",
       {},
       [](Scene& scene) { scene.request.output_dir = scene.path("file"); }},
      {"export folder missing",
       "file_not_found",
       {},
       [](Scene& scene) { scene.request.modelopt_hf_dir = scene.path("nowhere"); }},
      {"base folder missing",
       "file_not_found",
       {},
       [](Scene& scene) { scene.request.base_transformer_dir = scene.path("nowhere"); }},
      {"checkpoint file missing",
       "file_not_found",
       {},
       [](Scene& scene) { scene.remove("checkpoint.pt"); }},
      {"checkpoint is a folder without backbone.pt",
       "file_not_found",
       {},
       [](Scene& scene) {
         scene.remove("checkpoint.pt");
         fs::create_directory(scene.path("checkpoint.pt"));
       }},
      {"a pattern is no regular expression",
       "bad_pattern",
       {},
       [](Scene& scene) { scene.request.keep_bf16_patterns = {"("}; }},
      {"unknown model type", "usage", {}, [](Scene& scene) { scene.request.model_type = "flux3"; }},
      {"--maxbound is no number", kCommandLine},
      {"--maxbound is zero", "usage", {}, [](Scene& scene) { scene.request.maxbound = 0.0; }},
      {"--modelopt-hf-dir missing on the command line",
       "usage",
       {},
       [](Scene& scene) { scene.request.modelopt_hf_dir = ""; }},
      {"unknown option", kCommandLine},
  };
}

std::vector<Damage> damages_of_config() {
  const auto whole = [](const std::string& text) {
    return [text](Scene& scene) { scene.put("export/config.json", text); };
  };
  return {
      {"export has no config.json",
       "file_not_found",
       {},
       [](Scene& scene) { scene.remove("export/config.json"); }},
      {"config.json is not JSON", "json_syntax", {}, whole("{not json")},
      {"config.json is a list", "json_type", {}, whole("[1]")},
      {"no quantization_config", "not_quantized",
       [](SmallExport& small) { small.config.erase("quantization_config"); }},
      {"quantization_config is a string", "not_quantized",
       [](SmallExport& small) { small.config["quantization_config"] = "FP8"; }},
      {"quant_method is fp8", "wrong_quant_method",
       quantization([](Json& config) { config["quant_method"] = "fp8"; })},
      {"quant_method is MODELOPT", "wrong_quant_method",
       quantization([](Json& config) { config["quant_method"] = "MODELOPT"; })},
      {"quant_method missing", "wrong_quant_method",
       quantization([](Json& config) { config.erase("quant_method"); })},
      {"quant_algo is NVFP4", "wrong_quant_method", quant_algo("NVFP4")},
      {"quant_algo is INT8", "wrong_quant_method", quant_algo("INT8")},
      {"quant_algo is MXFP8", "unsupported", quant_algo("MXFP8")},
      {"quant_algo is fp8 in lower case", kAccepted, quant_algo("fp8")},
      {"quant_algo missing", kAccepted,
       quantization([](Json& config) { config.erase("quant_algo"); })},
  };
}

std::vector<Damage> damages_of_checkpoint() {
  const auto bytes = [](const std::string& text) {
    return [text](Scene& scene) { scene.put("checkpoint.pt", text); };
  };
  const auto without = [](const std::string& suffix) {
    return [suffix](SmallExport& small) {
      std::erase_if(small.amax,
                    [&](const SavedTensor& tensor) { return tensor.name.ends_with(suffix); });
    };
  };
  return {
      {"quant_algo missing and the checkpoint has no amax", "not_quantized",
       [](SmallExport& small) {
         small.config["quantization_config"].erase("quant_algo");
         small.amax.clear();
       }},
      {"the checkpoint has no amax", "not_quantized", without("_amax")},
      {"the checkpoint has no input amax", "not_quantized", without("input_quantizer._amax")},
      {"one weight amax has two elements", "wrong_shape",
       [](SmallExport& small) {
         small.amax_of(kWeightAmax) = {kWeightAmax, {2}, {1.0f, 1.0f}};
       }},
      {"one weight amax has shape [1, 1]", kAccepted,
       [](SmallExport& small) {
         small.amax_of(kWeightAmax).shape = {1, 1};
       }},
      {"one weight amax is zero", "bad_scale", amax_value(0.0f)},
      {"one weight amax is NaN", "bad_scale", amax_value(std::nanf(""))},
      {"checkpoint is random bytes", "zip_structure", {}, bytes(std::string(1000, '\x5a'))},
      {"checkpoint is empty", "zip_structure", {}, bytes("")},
      {"checkpoint cut short",
       "zip_structure",
       {},
       [](Scene& scene) {
         const std::string whole = scene.get("checkpoint.pt");
         scene.put("checkpoint.pt", whole.substr(0, whole.size() / 2));
       }},
      {"checkpoint without model_state_dict",
       "pickle_structure",
       {},
       bytes(torch_checkpoint({}, "other"))},
      {"checkpoint is a list", "pickle_structure", {}, bytes(torch_archive("\x80\x02].", {}))},
      {"checkpoint refers to a class that is not allowed",
       "pickle_global",
       {},
       bytes(torch_checkpoint({}, "model_state_dict", "cmodelopt.torch.opt\nState\n0"))},
  };
}

std::vector<Damage> damages_of_shards() {
  const auto edit_index = [](const std::function<void(Json&)>& edit) {
    return [edit](Scene& scene) { scene.edit_index(edit); };
  };
  return {
      {"two shards without an index", "ambiguous_shards", split(),
       [](Scene& scene) { scene.remove(kIndex); }},
      {"no shard", "ambiguous_shards", {}, [](Scene& scene) { scene.remove(kShard); }},
      {"the index names a shard that is not there", "missing_shard", split(),
       edit_index(
           [](Json& index) { index["weight_map"]["x_embedder.weight"] = "gone.safetensors"; })},
      {"the index names a tensor that its shard does not have", "index_disagrees", split(),
       edit_index([](Json& index) { index["weight_map"]["not.there.weight"] = kFirstShard; })},
      {"the index misses a tensor that its shard has", "index_disagrees", split(),
       edit_index([](Json& index) {
         index["weight_map"].erase("transformer_blocks.0.attn.to_q.weight");
       })},
      {"the index names a shard outside the folder (../moved.safetensors)", "shard_outside",
       split(),
       [](Scene& scene) {
         scene.rename(std::string("export/") + kFirstShard, "moved.safetensors");
         scene.edit_index([](Json& index) {
           for (auto& [name, shard] : index["weight_map"].items()) {
             if (shard == kFirstShard) shard = "../moved.safetensors";
           }
         });
       }},
      {"the index has no weight_map", "bad_index", split(),
       edit_index([](Json& index) { index.erase("weight_map"); })},
      {"the shard is cut short",
       "bad_offsets",
       {},
       [](Scene& scene) {
         const std::string whole = scene.get(kShard);
         scene.put(kShard, whole.substr(0, whole.size() - 10));
       }},
      {"the shard's header is not JSON",
       "header_syntax",
       {},
       [](Scene& scene) { scene.put(kShard, safetensors_bytes("not json", "")); }},
      {"the shard's header length exceeds the file",
       "header_too_large",
       {},
       [](Scene& scene) {
         std::string bytes = scene.get(kShard);
         bytes[6] = '\x01';
         scene.put(kShard, bytes);
       }},
  };
}

std::vector<Damage> damages_of_tensors() {
  const std::string layer = "transformer_blocks.0.attn.to_q.";
  return {
      {"one weight_scale missing in the export", kAccepted,
       [layer](SmallExport& small) { small.tensors.erase(layer + "weight_scale"); }},
      {"one weight missing in the export", "scale_without_weight",
       [layer](SmallExport& small) { small.tensors.erase(layer + "weight"); }},
      {"the export has a stray quantizer tensor", kAccepted,
       [layer](SmallExport& small) {
         small.tensors[layer + "weight_quantizer._amax"] = f32_scalar(1.0f);
       }},
      {"a tensor of the fallback set is missing in the base", "missing_tensor",
       [](SmallExport& small) { small.base.erase("x_embedder.weight"); }},
      {"a tensor of the fallback set has another shape in the base", "wrong_shape",
       [](SmallExport& small) {
         small.base["x_embedder.weight"] = bf16_tensor({16, 8});
       }},
      {"the base is another family's name space", "missing_tensor",
       [](SmallExport& small) {
         OwnedTensors renamed;
         for (const auto& [name, tensor] : small.base) renamed["model." + name] = tensor;
         small.base = renamed;
       }},
  };
}

/// Beyond errors.json: what the issue and the reference name besides.
std::vector<Damage> further_damages() {
  const std::string layer = "transformer_blocks.0.attn.to_q.";
  const auto infinity = std::numeric_limits<float>::infinity();
  const auto scale = [layer](const std::string& name, float value) {
    return [=](SmallExport& small) { small.tensors[layer + name] = f32_scalar(value); };
  };
  const auto without_amax = [layer](SmallExport& small) {
    std::erase_if(small.amax,
                  [&](const SavedTensor& tensor) { return tensor.name.starts_with(layer); });
  };
  return {
      {"+ one weight amax is infinite", "bad_scale", amax_value(infinity)},
      {"+ one weight amax is negative", "bad_scale", amax_value(-1.0f)},
      {"+ one weight amax is so small that its scale is zero", "bad_scale", amax_value(1e-45f)},
      {"+ one input amax is zero", "bad_scale",
       [layer](SmallExport& small) {
         small.amax_of(layer + "input_quantizer._amax").values = {0.0f};
       }},
      {"+ amax of a layer that stays in BF16 is zero", kAccepted,
       [](SmallExport& small) {
         small.amax.push_back({"x_embedder.weight_quantizer._amax", {}, {0.0f}});
         small.amax.push_back({"x_embedder.input_quantizer._amax", {}, {0.0f}});
       }},
      {"+ the export's weight scale is NaN", "bad_scale", scale("weight_scale", std::nanf(""))},
      {"+ the export's weight scale is zero", "bad_scale", scale("weight_scale", 0.0f)},
      {"+ the export's input scale is infinite", "bad_scale", scale("input_scale", infinity)},
      {"+ the export's weight scale is another one than amax gives", kAccepted,
       scale("weight_scale", 0.01f)},
      {"+ an FP8 weight has neither amax nor scale", "weight_without_scale",
       [=](SmallExport& small) {
         without_amax(small);
         small.tensors.erase(layer + "weight_scale");
       }},
      {"+ an FP8 weight has no amax but its scale", kAccepted, without_amax},
      {"+ a plain weight has no amax", kAccepted,
       [=](SmallExport& small) {
         without_amax(small);
         small.tensors[layer + "weight"] = small.base[layer + "weight"];
         small.tensors.erase(layer + "weight_scale");
         small.tensors.erase(layer + "input_scale");
       }},
      {"+ a plain weight exceeds its amax by far", "not_a_number",
       [=](SmallExport& small) {
         small.tensors[layer + "weight"] = small.base[layer + "weight"];
         small.amax_of(kWeightAmax).values = {0.5f};
       }},
      {"+ a weight of a type that cannot be quantized", "wrong_dtype",
       [=](SmallExport& small) { small.tensors[layer + "weight"].dtype = Dtype::u8; }},
      {"+ a kept scale of another type", "wrong_dtype",
       [=](SmallExport& small) { small.tensors[layer + "weight_scale"] = bf16_tensor({1}); }},
      {"+ a kept scale of several elements", "wrong_shape",
       [=](SmallExport& small) {
         small.tensors[layer + "weight_scale"] = {Dtype::f32, {2}, std::vector<std::byte>(8)};
       }},
      {"+ the export is smoothed", "unsupported",
       [=](SmallExport& small) { small.tensors[layer + "pre_quant_scale"] = bf16_tensor({32}); }},
      {"+ the base is quantized itself", "wrong_dtype",
       [](SmallExport& small) {
         small.base["x_embedder.weight"] = {Dtype::f8_e4m3, {16, 16}, std::vector<std::byte>(256)};
       }},
      {"+ --model-type fits nothing",
       "family_mismatch",
       {},
       [](Scene& scene) { scene.request.model_type = "flux1"; }},
      {"+ --model-type contradicts the config but fits some layers",
       kAccepted,
       {},
       [](Scene& scene) { scene.request.model_type = "qwen-image"; }},
      {"+ a pattern that matches nothing",
       kAccepted,
       {},
       [](Scene& scene) { scene.request.keep_bf16_patterns = {"nothing"}; }},
      {"+ everything stays in BF16",
       kAccepted,
       {},
       [](Scene& scene) { scene.request.keep_bf16_patterns = {""}; }},
      {"+ --maxbound is negative",
       "usage",
       {},
       [](Scene& scene) { scene.request.maxbound = -448.0; }},
      {"+ --maxbound is NaN",
       "usage",
       {},
       [](Scene& scene) { scene.request.maxbound = std::nan(""); }},
      {"+ --maxbound is infinite in float32",
       "usage",
       {},
       [](Scene& scene) { scene.request.maxbound = 1e300; }},
      {"+ quant_algo is a number", "json_type",
       quantization([](Json& config) { config["quant_algo"] = 8; })},
      {"+ quant_algo is FP8_PB_WO", "unsupported", quant_algo("FP8_PB_WO")},
      {"+ ignore is a string", "json_type",
       quantization([](Json& config) { config["ignore"] = "proj_out"; })},
      {"+ ignore has an entry that is no expression", "bad_config",
       quantization([](Json& config) { config["ignore"] = {"proj_out("}; })},
      {"+ the output lies in the export",
       "output_overlaps",
       {},
       [](Scene& scene) { scene.request.output_dir = scene.path("export/out"); }},
      {"+ the export lies in the output",
       "output_overlaps",
       {},
       [](Scene& scene) { scene.request.output_dir = scene.folder.path().string(); }},
      {"+ the output is the export",
       "output_overlaps",
       {},
       [](Scene& scene) { scene.request.output_dir = scene.path("export"); }},
      {"+ the output is the base, through a link",
       "output_overlaps",
       {},
       [](Scene& scene) {
         fs::create_directory_symlink(scene.path("base"), scene.path("link"));
         scene.request.output_dir = scene.path("link");
       }},
      {"+ a link beside the shards leads to nothing",
       "file_not_found",
       {},
       [](Scene& scene) { fs::create_symlink("nowhere", scene.path("export/README.md")); }},
      {"+ a folder beside the shards links back into itself",
       "unsupported",
       {},
       [](Scene& scene) { fs::create_directory_symlink(".", scene.path("export/loop")); }},
      {"+ the parent of the output cannot be made",
       "storage",
       {},
       [](Scene& scene) { scene.request.output_dir = "/proc/nowhere/out"; }},
  };
}

std::vector<Damage> all_damages() {
  std::vector<Damage> all;
  for (const auto& part : {damages_of_arguments(), damages_of_config(), damages_of_checkpoint(),
                           damages_of_shards(), damages_of_tensors(), further_damages()}) {
    all.insert(all.end(), part.begin(), part.end());
  }
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

class DamagedInput : public testing::TestWithParam<Damage> {};

TEST_P(DamagedInput, IsDecidedAndLeavesTheOldOutput) {
  const Damage& damage = GetParam();
  if (damage.expected == kCommandLine) GTEST_SKIP() << "decided by the command line";
  for (const bool has_output : {true, false}) {
    const TemporaryFolder folder;
    SmallExport small;
    if (damage.before) damage.before(small);
    small.write(folder);
    Scene scene{.folder = folder, .request = SmallExport::request(folder)};
    scene.put("file", "a file");
    scene.request.overwrite = true;
    if (has_output) {
      fs::create_directory(folder / "out");
      scene.put("out/precious.txt", "precious");
    }
    if (damage.after) damage.after(scene);
    // Without an old output nothing is there to be in the way.
    if (damage.name == "output folder exists" && !has_output) continue;
    const auto before = snapshot(folder.path());
    const auto error = error_of([&] { build_fp8(scene.request); });
    EXPECT_EQ(error ? std::string(name(error->code())) : "ok", damage.expected)
        << (error ? error->what() : "");
    if (damage.expected == kAccepted) {
      EXPECT_FALSE(fs::exists(folder / "out/precious.txt"));
      EXPECT_NO_THROW(Checkpoint::open(folder / "out"));
    } else {
      EXPECT_EQ(snapshot(folder.path()), before);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Fp8, DamagedInput, testing::ValuesIn(all_damages()), [](const auto& info) {
  std::string name = info.param.name;
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return std::to_string(info.index) + "_" + name;
});

TEST(DamagedInputs, CoverEveryCaseOfTheRecordedList) {
  const auto path = golden("golden/families/errors.json");
  if (!path) GTEST_SKIP() << "needs the larger goldens (DITQ_TEST_DATA)";
  std::set<std::string> decided;
  for (const Damage& damage : all_damages()) decided.insert(damage.name);
  for (const Json& recorded : read_json(path->string())) {
    if (recorded["tool"] != "build_modelopt_fp8_transformer") continue;
    EXPECT_TRUE(decided.contains(recorded["damage"].get<std::string>())) << recorded["damage"];
  }
}

TEST(DamagedInputs, AreAllListedInTheDocument) {
  const std::string document = get_file((source_dir() / "docs/formats/decisions.md").string());
  for (const Damage& damage : all_damages()) {
    std::string name = damage.name.starts_with("+ ") ? damage.name.substr(2) : damage.name;
    const std::size_t at = document.find("| " + name + " |");
    ASSERT_NE(at, std::string::npos) << name;
    const std::string row = document.substr(at, document.find('\n', at) - at);
    const std::string decision = damage.expected == kAccepted ? "accepted"
                                 : damage.expected == kCommandLine
                                     ? "refused (usage)"
                                     : "refused (" + damage.expected + ")";
    EXPECT_NE(row.find("| " + decision + " |"), std::string::npos)
        << row << "\nis not: " << decision;
  }
}

}  // namespace
}  // namespace ditq::test
