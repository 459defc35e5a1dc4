#include "doctor/doctor.h"

#include <cstring>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "convert/build_fp8.h"
#include "convert/build_nvfp4.h"
#include "family/registry.h"
#include "format/helpers.h"
#include "support/owned_tensors.h"
#include "support/paths.h"

namespace ditq::test {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::string kWeights = "diffusion_pytorch_model.safetensors";
const Json kFp8 = {{"quant_method", "modelopt"}, {"quant_algo", "FP8"}, {"ignore", Json::array()}};
const Json kNvfp4 = {{"quant_method", "modelopt"},
                     {"quant_algo", "NVFP4"},
                     {"group_size", 16},
                     {"ignore", Json::array()}};

std::string base() {
  return (tiny_flux() / "transformer").string();
}

const OwnedTensors& tiny() {
  static const OwnedTensors tensors = load_tensors(base());
  return tensors;
}

bool in_block(const std::string& module) {
  return module.find("transformer_blocks.") != std::string::npos &&
         module.find("norm_") == std::string::npos;
}

/// Block linears as NVFP4; q, k and v share an amax, as in ModelOpt's export.
OwnedTensors nvfp4() {
  OwnedTensors out = tiny();
  quantize_nvfp4(out, [](const std::string& module) {
    if (!in_block(module)) return std::string();
    const std::size_t attention = module.find("attn.to_");
    return attention == std::string::npos || module.ends_with("out.0")
               ? module
               : module.substr(0, attention);
  });
  return out;
}

/// A folder with the bundled model in another form.
struct Folder {
  TemporaryFolder folder;
  OwnedTensors tensors;
  Json quantization;

  Folder(OwnedTensors stored, Json declared)
      : tensors(std::move(stored)), quantization(std::move(declared)) {}

  std::string write() {
    Json config = read_json(base() + "/config.json");
    if (!quantization.is_null()) config["quantization_config"] = quantization;
    write_text(folder / "config.json", dump_json(config));
    write_tensors(folder / kWeights, tensors);
    return folder.path().string();
  }
  DoctorReport examined(bool with_base = true) {
    return examine(write(), with_base ? base() : std::string());
  }
};

std::vector<std::string> problems(const DoctorReport& report) {
  std::vector<std::string> kinds;
  for (const Finding& finding : report.findings) {
    if (finding.severity == Severity::problem) kinds.push_back(finding.kind);
  }
  return kinds;
}

std::string messages(const DoctorReport& report) {
  std::string out;
  for (const Finding& finding : report.findings) out += finding.message + "\n";
  return out;
}

void expect_healthy(const std::string& path, const std::string& original) {
  for (const std::string& with : {original, std::string()}) {
    const DoctorReport report = examine(path, with);
    EXPECT_FALSE(report.has_problems()) << path << "\n" << messages(report);
  }
}

TEST(Doctor, FindsNothingWrongWithSoundCheckpoints) {
  const DialectMark& bfl = dialect(flux1_family(), "bfl");
  expect_healthy(base(), base());
  expect_healthy(Folder(nvfp4(), kNvfp4).write(), base());
  Folder plain(nvfp4(), kNvfp4);
  expect_healthy(plain.write(), base());
  Folder undeclared(nvfp4(), nullptr);
  expect_healthy(undeclared.write(), base());
  OwnedTensors fp8 = tiny();
  quantize_fp8(fp8, in_block);
  Folder eight(fp8, kFp8);
  expect_healthy(eight.write(), base());
  Folder eight_bfl(in_dialect(fp8, bfl), kFp8);
  expect_healthy(eight_bfl.write(), base());
  Folder names(in_dialect(tiny(), bfl), nullptr);
  expect_healthy(names.write(), base());
}

TEST(Doctor, FindsNothingWrongWithPackedFilesNorWithAPackedBase) {
  const DialectMark& bfl = dialect(flux1_family(), "bfl");
  OwnedTensors packed = nvfp4();
  packed = in_dialect(packed, bfl);
  pack_as_comfy(packed);
  Folder folder(packed, nullptr);
  expect_healthy(folder.write(), base());
  Folder original(in_dialect(tiny(), bfl), nullptr);
  expect_healthy(folder.write(), original.write());
}

TEST(Doctor, FindsNothingWrongWithTheOfficialTools) {
  for (const auto& [checkpoint, original] : std::vector<std::pair<std::string, std::string>>{
           {"flux1-tiny/modelopt/nvfp4", ""},
           {"flux1-tiny/modelopt/nvfp4-svdquant", ""},
           {"flux1-tiny/modelopt/fp8", ""},
           {"families/flux2/modelopt/", "families/flux2/base"},
           {"families/qwen-image/modelopt/", "families/qwen-image/base"},
           {"families/hunyuan-video/modelopt/", "families/hunyuan-video/base"},
           {"families/wan22/modelopt/", "families/wan22/base"},
           {"families/ltx2/modelopt/", "families/ltx2/base"}}) {
    const auto where = golden("golden/" + checkpoint);
    if (!where) GTEST_SKIP() << "no golden data: set DITQ_TEST_DATA";
    const std::string with = original.empty() ? base() : golden("golden/" + original)->string();
    if (!checkpoint.ends_with("/")) {
      expect_healthy(where->string(), with);
      continue;
    }
    for (const char* scheme : {"fp8", "nvfp4"}) expect_healthy((*where / scheme).string(), with);
  }
}

TEST(Doctor, FindsNothingWrongWithWhatTheBuildersWrite) {
  const auto exports = golden("golden/flux1-tiny/modelopt");
  if (!exports) GTEST_SKIP() << "no golden data: set DITQ_TEST_DATA";
  TemporaryFolder folder;
  build_nvfp4({.base_transformer_dir = base(),
               .modelopt_hf_dir = (*exports / "nvfp4").string(),
               .output_dir = folder / "four",
               .pattern_preset = "flux1-nvfp4"});
  expect_healthy(folder / "four", base());
  build_fp8({.modelopt_hf_dir = (*exports / "fp8").string(),
             .modelopt_backbone_ckpt = (*exports / "fp8/transformer.pt").string(),
             .output_dir = folder / "eight",
             .base_transformer_dir = base()});
  expect_healthy(folder / "eight", base());
  // Without a preset the builder declares nibbles that the bytes do not have (docs/formats/nvfp4.md).
  build_nvfp4({.base_transformer_dir = base(),
               .modelopt_hf_dir = (*exports / "nvfp4").string(),
               .output_dir = folder / "default"});
  const DoctorReport report = examine(folder / "default", base());
  EXPECT_THAT(problems(report), ElementsAre("nibble_order"));
  EXPECT_THAT(messages(report), HasSubstr("swap_weight_nibbles is true and contradicts"));
}

TEST(Doctor, NamesTheMistakesOfWholeFilesWithBothErrors) {
  OwnedTensors swizzled = nvfp4();
  std::size_t count = 0;
  for (const std::string& module : packed_modules(swizzled)) {
    if (count++ == 12) break;
    OwnedTensor& scales = swizzled.at(module + ".weight_scale");
    const Shape shape = scales.shape;
    swizzle_of(scales);
    scales.shape = shape;
  }
  const DoctorReport twelve = Folder(swizzled, kNvfp4).examined();
  EXPECT_THAT(problems(twelve), ElementsAre("scale_order"));
  EXPECT_THAT(
      messages(twelve),
      testing::MatchesRegex("block scales of 12 layers look swizzled: error 0\\.[2-9][0-9]* "
                            "as stored, 0\\.09[0-9]* after un-swizzling\n"));
  EXPECT_EQ(twelve.findings[0].layers.size(), 12U);
  EXPECT_GT(*twelve.findings[0].error, 2 * *twelve.findings[0].error_after);

  OwnedTensors packed = nvfp4();
  pack_as_comfy(packed);
  EXPECT_THAT(problems(Folder(packed, kNvfp4).examined()),
              ElementsAre("nibble_order", "scale_order"));
  // Sound bytes that are read as ComfyUI's.
  OwnedTensors marked = nvfp4();
  for (const std::string& module : packed_modules(nvfp4()))
    marked[module + ".comfy_quant"] = text_tensor(R"({"format": "nvfp4"})");
  EXPECT_THAT(problems(Folder(marked, nullptr).examined()),
              ElementsAre("nibble_order", "scale_order"));
}

TEST(Doctor, NamesScalesWhoseOrderOnlyTheirShapeTells) {
  OwnedTensors odd = {{"x_embedder.weight", bf16_of({96, 80}, std::vector<float>(96 * 80, 0.5f))}};
  for (std::size_t i = 0; i < 96 * 80; ++i) {
    const auto half = static_cast<std::uint16_t>(0x3c00 + i * 7919 % 512);
    std::memcpy(odd.at("x_embedder.weight").bytes.data() + 2 * i, &half, 2);
  }
  TemporaryFolder original;
  write_text(original / "config.json", "{}");
  write_tensors(original / kWeights, odd);
  Folder folder(odd, kNvfp4);
  quantize_nvfp4(folder.tensors, [](const std::string& module) { return module; });
  EXPECT_FALSE(examine(folder.write(), original.path().string()).has_problems());
  swizzle_of(folder.tensors.at("x_embedder.weight_scale"));
  const DoctorReport report = examine(folder.write(), original.path().string());
  EXPECT_THAT(problems(report), ElementsAre("scale_order"));
  EXPECT_THAT(messages(report), HasSubstr("which nothing declares"));
  EXPECT_LT(*report.layers[0].error, 0.11);
  folder.quantization["checkpoint_weight_scale_layout"] = "swizzled";
  EXPECT_FALSE(examine(folder.write(), original.path().string()).has_problems());
}

TEST(Doctor, SaysWhenAKeyContradictsTheWeights) {
  Json swapped = kNvfp4;
  swapped["swap_weight_nibbles"] = true;
  const DoctorReport nibbles = Folder(nvfp4(), swapped).examined();
  EXPECT_THAT(problems(nibbles), ElementsAre("nibble_order"));
  EXPECT_THAT(messages(nibbles), HasSubstr("swap_weight_nibbles is true and contradicts"));
  EXPECT_THAT(nibbles.findings[0].advice, HasSubstr("Set swap_weight_nibbles to false"));

  Json layout = kNvfp4;
  layout["checkpoint_weight_scale_layout"] = "swizzled";
  const DoctorReport scales = Folder(nvfp4(), layout).examined();
  EXPECT_THAT(problems(scales), ElementsAre("scale_order"));
  EXPECT_THAT(messages(scales), HasSubstr("'swizzled' and contradicts the weights"));
}

TEST(Doctor, NamesExchangedModulationHalvesInEveryForm) {
  for (const char* parameter : {"weight", "bias"}) {
    Folder plain(tiny(), nullptr);
    swap_halves_of(plain.tensors.at("norm_out.linear." + std::string(parameter)));
    const DoctorReport report = plain.examined();
    EXPECT_THAT(problems(report), ElementsAre("swapped_halves"));
    EXPECT_THAT(messages(report), HasSubstr("norm_out.linear"));
  }
  // A BFL file whose last modulation is in diffusers' order already.
  OwnedTensors bfl = in_dialect(tiny(), dialect(flux1_family(), "bfl"));
  swap_halves_of(bfl.at("final_layer.adaLN_modulation.1.weight"));
  swap_halves_of(bfl.at("final_layer.adaLN_modulation.1.bias"));
  const DoctorReport report = Folder(bfl, nullptr).examined();
  EXPECT_THAT(problems(report), ElementsAre("swapped_halves"));
  EXPECT_THAT(report.findings[0].layers, ElementsAre("norm_out.linear", "norm_out.linear.bias"));
}

TEST(Doctor, NamesMissingExtraAndMisshapenTensors) {
  Folder folder(nvfp4(), kNvfp4);
  folder.tensors.erase("x_embedder.bias");
  folder.tensors["new.weight"] = bf16_of({2, 2}, {1, 2, 3, 4});
  folder.tensors["proj_out.weight"] = bf16_of({8, 256}, std::vector<float>(8 * 256, 0.5f));
  const DoctorReport report = folder.examined();
  EXPECT_THAT(problems(report),
              ElementsAre("missing_tensors", "misshapen_tensors", "extra_tensors"));
  EXPECT_THAT(messages(report), HasSubstr("proj_out.weight is [8, 256], not [64, 256]"));
  const DoctorReport alone = folder.examined(/*with_base=*/false);
  EXPECT_THAT(problems(alone), ElementsAre("family_mismatch"));
  EXPECT_THAT(messages(alone), HasSubstr("unexpected new.weight"));
}

struct Damage {
  const char* kind;
  std::function<void(Folder&)> apply;
};

TEST(Doctor, MakesAFindingOfEveryDamageWithAndWithoutABase) {
  const std::string layer = "transformer_blocks.1.ff.net.2.";
  const auto scalar = [&](const char* parameter, float value) {
    return [=](Folder& f) { f.tensors[layer + parameter] = f32_tensor({value}); };
  };
  const std::vector<Damage> damages = {
      {"weight_without_scale", [&](Folder& f) { f.tensors.erase(layer + "weight_scale"); }},
      {"weight_without_scale", [&](Folder& f) { f.tensors.erase(layer + "weight_scale_2"); }},
      {"bad_scale", scalar("weight_scale_2", 0.0f)},
      {"bad_scale", scalar("weight_scale_2", NAN)},
      {"bad_scale", scalar("input_scale", -1.0f)},
      {"implausible_scale", scalar("input_scale", 1e12f)},
      {"implausible_scale", scalar("weight_scale_2", 1e6f)},
      {"bad_scale", [&](Folder& f) { codes_of(f.tensors.at(layer + "weight_scale"))[5] = 0x7f; }},
      {"wrong_shape",
       [&](Folder& f) {
         f.tensors.at(layer + "weight_scale").shape = {512, 32};
       }},
      {"ignored_layer_quantized",
       [&](Folder& f) { f.quantization["ignore"] = {"transformer_blocks.1.ff*"}; }},
      {"unsupported", [](Folder& f) { f.quantization["quant_algo"] = "NVFP4_AWQ"; }},
      {"wrong_dtype", [](Folder& f) { f.quantization["quant_algo"] = "FP8"; }},
      {"all_zero",
       [&](Folder& f) {
         auto codes = codes_of(f.tensors.at(layer + "weight"));
         std::fill(codes.begin(), codes.end(), std::uint8_t{0});
       }},
      {"codes_unused",
       [&](Folder& f) {
         for (std::uint8_t& code : codes_of(f.tensors.at(layer + "weight"))) code &= 0x99;
       }},
  };
  for (const Damage& damage : damages) {
    for (const bool with_base : {true, false}) {
      Folder folder(nvfp4(), kNvfp4);
      damage.apply(folder);
      const DoctorReport report = folder.examined(with_base);
      EXPECT_THAT(problems(report), Contains(damage.kind)) << messages(report);
    }
  }
}

TEST(Doctor, ProposesTheGlobalScaleThatIsMissingOrZero) {
  for (const bool missing : {true, false}) {
    Folder folder(nvfp4(), kNvfp4);
    const std::string scale = "transformer_blocks.1.ff.net.2.weight_scale_2";
    const float sound = floats_of(folder.tensors.at(scale))[0];
    if (missing) {
      folder.tensors.erase(scale);
    } else {
      folder.tensors[scale] = f32_tensor({0});
    }
    const DoctorReport report = folder.examined();
    EXPECT_THAT(problems(report),
                ElementsAre(missing ? "weight_without_scale" : "bad_scale", "global_scale"));
    EXPECT_GT(*report.findings[1].error, 1000.0);
    EXPECT_LT(*report.findings[1].error_after, 0.11);
    const std::size_t where = report.findings[1].message.find("where ") + 6;
    EXPECT_NEAR(std::stof(report.findings[1].message.substr(where)) / sound, 1.0, 0.02);
  }
}

TEST(Doctor, MakesAFindingOfEveryFp8Damage) {
  OwnedTensors sound = tiny();
  quantize_fp8(sound, in_block);
  const std::string layer = "transformer_blocks.1.ff.net.2.";
  const std::vector<Damage> damages = {
      {"weight_without_scale", [&](Folder& f) { f.tensors.erase(layer + "weight_scale"); }},
      {"bad_scale", [&](Folder& f) { f.tensors[layer + "weight_scale"] = f32_tensor({0}); }},
      {"bad_scale", [&](Folder& f) { f.tensors[layer + "input_scale"] = f32_tensor({NAN}); }},
      {"wrong_shape",
       [&](Folder& f) {
         f.tensors[layer + "weight_scale"] = f32_tensor({1, 1});
       }},
      {"not_a_number", [&](Folder& f) { codes_of(f.tensors.at(layer + "weight"))[9] = 0xff; }},
      {"all_zero",
       [&](Folder& f) {
         auto codes = codes_of(f.tensors.at(layer + "weight"));
         std::fill(codes.begin(), codes.end(), std::uint8_t{0x80});
       }},
  };
  for (const Damage& damage : damages) {
    Folder folder(sound, kFp8);
    damage.apply(folder);
    const DoctorReport report = folder.examined();
    EXPECT_THAT(problems(report), Contains(damage.kind)) << messages(report);
    EXPECT_TRUE(folder.examined(/*with_base=*/false).has_problems()) << damage.kind;
  }
}

TEST(Doctor, SurvivesEmptyTensorsAndNumbersThatAreNone) {
  Folder folder(nvfp4(), kNvfp4);
  folder.tensors["empty.weight"] = {Dtype::bf16, {0, 16}, {}};
  folder.tensors["flat.weight"] = {Dtype::bf16, {16, 0}, {}};
  folder.tensors["flat.pre_quant_scale"] = {Dtype::bf16, {0}, {}};
  folder.tensors["packed.weight"] = {Dtype::u8, {0, 8}, {}};
  folder.tensors["packed.weight_scale"] = {Dtype::f8_e4m3, {0, 1}, {}};
  folder.tensors["packed.weight_scale_2"] = f32_tensor({1});
  folder.tensors["scalar.weight"] = f32_tensor({1});
  codes_of(folder.tensors.at("proj_out.weight"))[1] = 0x7f;  // 0x7f.. with 0xc0 below: NaN
  codes_of(folder.tensors.at("proj_out.weight"))[0] = 0xc0;
  for (const bool with_base : {true, false}) {
    const DoctorReport report = folder.examined(with_base);
    EXPECT_TRUE(report.has_problems());
    EXPECT_NO_THROW(parse_json(dump_json(to_json(report)), "report"));
  }
  EXPECT_THAT(problems(folder.examined()), Contains("differs_from_base"));
}

TEST(Doctor, NotesAMissingInputScaleWithoutCallingItAProblem) {
  Folder folder(nvfp4(), kNvfp4);
  std::erase_if(folder.tensors, [](const auto& e) { return e.first.ends_with("input_scale"); });
  const DoctorReport report = folder.examined();
  EXPECT_FALSE(report.has_problems()) << messages(report);
  EXPECT_THAT(messages(report), HasSubstr("layers have no input_scale"));
}

TEST(Doctor, FindsAGlobalScaleThatIsFarFromThoseOfOtherBlocks) {
  Folder folder(nvfp4(), kNvfp4);
  OwnedTensor& scale = folder.tensors.at("single_transformer_blocks.2.proj_out.weight_scale_2");
  scale = f32_tensor({floats_of(scale)[0] * 2688});
  const DoctorReport report = folder.examined(/*with_base=*/false);
  EXPECT_THAT(problems(report), ElementsAre("implausible_scale"));
  EXPECT_THAT(messages(report), HasSubstr("single_transformer_blocks.2.proj_out"));
}

TEST(Doctor, SeesSwizzledScalesWithoutABaseWhereRowsAndColumnsDiffer) {
  OwnedTensors base_tensors = tiny();
  const std::string name = "single_transformer_blocks.0.proj_out.weight";
  std::vector<float> values = floats_of(base_tensors.at(name));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] *= i / 1280 % 3 == 0 ? 8.0f : 1.0f;
    values[i] *= i % 1280 / 16 % 5 == 0 ? 6.0f : 1.0f;
  }
  base_tensors[name] = bf16_of({256, 1280}, values);
  quantize_nvfp4(base_tensors,
                 [](const std::string& module) { return in_block(module) ? module : ""; });
  Folder folder(base_tensors, kNvfp4);
  EXPECT_FALSE(folder.examined(/*with_base=*/false).has_problems());
  OwnedTensor& scales = folder.tensors.at("single_transformer_blocks.0.proj_out.weight_scale");
  const Shape shape = scales.shape;
  swizzle_of(scales);
  scales.shape = shape;
  EXPECT_THAT(problems(folder.examined(/*with_base=*/false)), ElementsAre("scale_order"));
}

TEST(Doctor, RefusesABaseThatIsQuantizedItself) {
  Folder folder(nvfp4(), kNvfp4);
  const std::string path = folder.write();
  EXPECT_EQ(code_of([&] { examine(base(), path); }), "wrong_dtype");
}

TEST(Doctor, RaisesWhatCannotBeParsed) {
  Folder folder(nvfp4(), kNvfp4);
  const std::string path = folder.write();
  write_text(folder.folder / "config.json", "{");
  EXPECT_EQ(code_of([&] { examine(path, ""); }), "json_syntax");
  put_file(folder.folder / kWeights, "no safetensors file");
  EXPECT_EQ(code_of([&] { examine(folder.folder / kWeights, ""); }), "json_syntax");
  fs::remove(folder.folder / "config.json");
  EXPECT_NE(code_of([&] { examine(folder.folder / kWeights, ""); }), "ok");
  EXPECT_EQ(code_of([&] { examine("/no/such/folder", ""); }), "file_not_found");
}

TEST(Doctor, WritesItsReportAsJson) {
  const Json json = to_json(Folder(nvfp4(), kNvfp4).examined());
  EXPECT_EQ(json["healthy"], true);
  EXPECT_EQ(json["scheme"], "nvfp4");
  EXPECT_THAT(json["findings"], IsEmpty());
  ASSERT_EQ(json["layers"].size(), 78U);
  for (const Json& layer : json["layers"]) {
    const double error = layer["error"];
    if (layer["stored"] == "NVFP4") {
      EXPECT_GT(error, 0.08) << layer;
      EXPECT_LT(error, 0.11) << layer;
    } else {
      EXPECT_EQ(error, 0.0) << layer;
      EXPECT_EQ(layer["equals_base"], true);
    }
  }
}

}  // namespace
}  // namespace ditq::test
