#include "family/family.h"

#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "base/regex.h"
#include "family/check_tensors.h"
#include "family/detect.h"
#include "family/flux1.h"
#include "family/registry.h"
#include "format/checkpoint.h"
#include "format/helpers.h"
#include "support/paths.h"

namespace ditq::test {
namespace {

using testing::HasSubstr;
using testing::Not;

std::vector<std::int64_t> shape_of(const std::string& text) {
  std::vector<std::int64_t> shape;
  std::istringstream stream(text);
  for (std::string part; text != "-" && std::getline(stream, part, 'x');)
    shape.push_back(std::stoll(part));
  return shape;
}

// A folded list of a published model's tensors (tests/data/family/make_names.py), unfolded.
TensorTable published(const std::string& model) {
  TensorTable table;
  std::ifstream file(data("family/" + model + ".txt"));
  std::string name, dtype, shape;
  while (file >> name >> dtype >> shape) {
    const TensorFacts facts{*parse_dtype(dtype), shape_of(shape)};
    const std::size_t open = name.find('{');
    if (open == std::string::npos) {
      table[name] = facts;
      continue;
    }
    const std::size_t close = name.find('}');
    const std::size_t dash = name.find('-', open);
    for (int i = std::stoi(name.substr(open + 1)); i <= std::stoi(name.substr(dash + 1)); ++i) {
      table[name.substr(0, open) + std::to_string(i) + name.substr(close + 1)] = facts;
    }
  }
  return table;
}

TensorTable stored(const std::string& folder) {
  TensorTable table;
  const Checkpoint checkpoint = Checkpoint::open(folder);
  for (const auto& [name, tensor] : checkpoint.tensors())
    table[name] = {tensor->dtype, tensor->shape};
  return table;
}

Flux1Dims dims_of(const std::string& path) {
  return parse_flux1_dims(read_json(path), path);
}

Flux1Dims tiny_dims() {
  return dims_of((tiny_flux() / "transformer/config.json").string());
}

std::string problems(const Flux1Dims& dims, const TensorTable& table) {
  const auto error =
      error_of([&] { check_tensors(flux1_family(), dim_values(dims), table, "here"); });
  if (!error) return "";
  EXPECT_EQ(error->code(), ErrorCode::family_mismatch);
  return error->what();
}

std::size_t parameters(const TensorTable& table) {
  std::size_t total = 0;
  for (const auto& [name, facts] : table) {
    std::size_t count = 1;
    for (const std::int64_t extent : facts.shape) count *= static_cast<std::size_t>(extent);
    total += count;
  }
  return total;
}

class Flux1Table : public testing::TestWithParam<std::string> {};

TEST_P(Flux1Table, IsThePublishedModel) {
  const TensorTable table = published(GetParam());
  const auto dims = dims_of(data("family/" + GetParam() + ".config.json").string());
  EXPECT_EQ(problems(dims, table), "");
  const TensorTable expected = expected_tensors(flux1_family(), dim_values(dims));
  EXPECT_EQ(expected.size(), table.size());
  EXPECT_EQ(parameters(expected), parameters(table));
}

INSTANTIATE_TEST_SUITE_P(Published,
                         Flux1Table,
                         testing::Values("flux1-dev", "flux1-schnell"),
                         [](const auto& info) {
                           return info.param == "flux1-dev" ? "dev" : "schnell";
                         });

TEST(Flux1, TableCountsThePublishedParameters) {
  EXPECT_EQ(parameters(published("flux1-dev")), 11'901'408'320u);
  EXPECT_EQ(parameters(published("flux1-schnell")), 11'891'178'560u);
}

TEST(Flux1, TableFitsTheBundledModelInEveryScheme) {
  EXPECT_EQ(problems(tiny_dims(), stored((tiny_flux() / "transformer").string())), "");
  EXPECT_EQ(problems(tiny_dims(), stored((tiny_flux_fp8() / "transformer").string())), "");
  for (const char* name : {"nvfp4", "nvfp4-svdquant"}) {
    const auto folder = golden(std::string("golden/flux1-tiny/modelopt/") + name + "/transformer");
    if (!folder) continue;
    EXPECT_EQ(problems(tiny_dims(), stored(folder->string())), "") << name;
  }
}

TEST(Flux1, ReportsAllProblemsAtOnceWithBlocksFolded) {
  TensorTable table = published("flux1-dev");
  const auto dims = dims_of(data("family/flux1-dev.config.json").string());
  for (const int block : {3, 4, 5, 9})
    table.erase("transformer_blocks." + std::to_string(block) + ".attn.to_q.bias");
  table["x_embedder.weight"].shape = {3072, 128};
  table["proj_out.weight"].dtype = Dtype::i32;
  table["left_over"] = {};
  const std::string text = problems(dims, table);
  EXPECT_THAT(text, HasSubstr("missing transformer_blocks.{3-5,9}.attn.to_q.bias [3072]"));
  EXPECT_THAT(
      text,
      HasSubstr(
          "wrong x_embedder.weight: expected BF16, F16 or F32 [3072, 64], found BF16 [3072, 128]"));
  EXPECT_THAT(text, HasSubstr("wrong proj_out.weight"));
  EXPECT_THAT(text, HasSubstr("unexpected left_over"));
  EXPECT_THAT(text, Not(HasSubstr("to_k")));
}

TEST(Flux1, ChecksTheCompanionsOfQuantizedWeights) {
  const TensorTable good = stored((tiny_flux_fp8() / "transformer").string());
  const std::string layer = "transformer_blocks.0.attn.to_q.";
  TensorTable table = good;
  table.erase(layer + "weight_scale");
  EXPECT_THAT(problems(tiny_dims(), table), HasSubstr("missing " + layer + "weight_scale F32 [1]"));
  table = good;
  table.erase(layer + "input_scale");
  EXPECT_EQ(problems(tiny_dims(), table), "");
  table = good;
  table[layer + "weight_scale"].shape = {256};
  EXPECT_EQ(problems(tiny_dims(), table), "") << "one scale a channel";
  table[layer + "weight_scale"].shape = {3};
  EXPECT_THAT(
      problems(tiny_dims(), table),
      HasSubstr("wrong " + layer + "weight_scale: expected F32 [], [1], [256] or [256, 1]"));
  table = good;
  table[layer + "weight"].dtype = Dtype::bf16;
  EXPECT_THAT(problems(tiny_dims(), table),
              HasSubstr("unexpected " + layer + "input_scale F32 []"));
  table = good;
  table.erase(layer + "weight");
  EXPECT_THAT(problems(tiny_dims(), table), HasSubstr("missing " + layer + "weight [256, 256]"));
  EXPECT_THAT(problems(tiny_dims(), table), HasSubstr("unexpected " + layer + "weight_scale"));
}

TEST(Flux1, KnowsHowTheRuntimeTreatsEachLayer) {
  const FamilySpec& spec = flux1_family();
  EXPECT_EQ(layer_use(spec, "transformer_blocks.18.attn.to_out.0"), LayerUse::quantizable);
  EXPECT_EQ(layer_use(spec, "single_transformer_blocks.37.proj_mlp"), LayerUse::quantizable);
  EXPECT_EQ(layer_use(spec, "single_transformer_blocks.37.proj_out"), LayerUse::quantizable);
  EXPECT_EQ(layer_use(spec, "transformer_blocks.0.ff.net.2"), LayerUse::dequantize);
  EXPECT_EQ(layer_use(spec, "transformer_blocks.0.norm1.linear"), LayerUse::dequantize);
  EXPECT_EQ(layer_use(spec, "proj_out"), LayerUse::keep);
  EXPECT_EQ(layer_use(spec, "transformer_blocks.0.attn.norm_q"), LayerUse::keep);
  EXPECT_EQ(layer_use(spec, "transformer_blocks.x.attn.to_q"), std::nullopt);
  EXPECT_EQ(layer_use(spec, "transformer_blocks"), std::nullopt);
}

TEST(Flux1Config, TakesDiffusersDefaults) {
  const Flux1Dims dims = parse_flux1_dims(Json::object(), "config.json");
  EXPECT_EQ(dims.hidden(), 3072);
  EXPECT_EQ(dims.out_channels, 64);
  EXPECT_FALSE(dims.guidance_embeds);
  EXPECT_EQ(parse_flux1_dims({{"in_channels", 384}, {"out_channels", 64}}, "c").out_channels, 64);
  EXPECT_EQ(parse_flux1_dims({{"in_channels", 384}, {"out_channels", nullptr}}, "c").out_channels,
            384);
}

TEST(Flux1Config, ReportsContradictionsTogether) {
  const Json config = {
      {"attention_head_dim", 64}, {"num_layers", 0}, {"guidance_embeds", 1}, {"patch_size", "x"}};
  const auto error = error_of([&] { parse_flux1_dims(config, "config.json"); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::bad_config);
  for (const char* part :
       {"num_layers must lie in 1…1024, found 0", "guidance_embeds must be true or false, found 1",
        "patch_size must be an integer", "axes_dims_rope must add up to attention_head_dim = 64"}) {
    EXPECT_THAT(error->what(), HasSubstr(part));
  }
}

TEST(Flux1Config, RefusesRopeAxesThatCannotBe) {
  for (const Json& axes : {Json{16, 56}, Json{16, 56, "56"}, Json{0, 64, 64}, Json{17, 55, 56},
                           Json("all"), Json{16, 56, 9000000000000000000}}) {
    EXPECT_EQ(code_of([&] {
                parse_flux1_dims({{"axes_dims_rope", axes}}, "c");
              }),
              "bad_config")
        << axes;
  }
  EXPECT_EQ(code_of([] { parse_flux1_dims(Json::array(), "c"); }), "json_type");
}

TEST(Registry, FindsFamiliesByNameClassAndModelType) {
  EXPECT_EQ(families().size(), 6u);
  for (const FamilySpec* spec : families()) {
    EXPECT_EQ(find_family(spec->name), spec);
    for (const std::string& class_name : spec->class_names)
      EXPECT_EQ(family_of_class(class_name), spec);
    if (spec->model_type.empty()) continue;
    EXPECT_EQ(family_of_model_type(spec->model_type), spec);
  }
  EXPECT_EQ(find_family("flux3"), nullptr);
  EXPECT_EQ(family_of_class(""), nullptr);
  EXPECT_EQ(family_of_model_type(""), nullptr) << "Wan has none";
}

TEST(Registry, EveryPatternAndRuleCompiles) {
  for (const FamilySpec* spec : families()) {
    for (const auto& patterns : {spec->fp8_fallback, spec->fp8_fallback_documented}) {
      for (const std::string& pattern : patterns) EXPECT_NO_THROW(Regex{pattern}) << pattern;
    }
    for (const NameRule& rule : spec->runtime_names)
      EXPECT_NO_THROW(Regex{rule.pattern}) << rule.pattern;
  }
}

// Counts of the bridge reference, 2.8, over the published tensor names.
TEST(Registry, ProfilesSelectTheKnownNumberOfWeights) {
  const std::map<std::string, std::pair<std::string, std::size_t>> expected = {
      {"flux1-dev", {"flux1", 152}},
      {"flux2-dev", {"flux2", 10}},
      {"hunyuan-video", {"hunyuan-video", 112}},
      {"wan2.2-t2v-a14b", {"wan", 0}},
  };
  for (const auto& [model, family] : expected) {
    std::size_t count = 0;
    for (const auto& [name, facts] : published(model)) {
      if (!name.ends_with(".weight")) continue;
      for (const std::string& pattern : find_family(family.first)->fp8_fallback) {
        if (!Regex(pattern).search(name.substr(0, name.size() - 7))) continue;
        ++count;
        break;
      }
    }
    EXPECT_EQ(count, family.second) << model;
  }
}

TEST(Registry, Flux1DocumentsOnePatternMore) {
  const FamilySpec& spec = flux1_family();
  ASSERT_EQ(spec.fp8_fallback.size(), 7u);
  ASSERT_EQ(spec.fp8_fallback_documented.size(), 8u);
  EXPECT_TRUE(std::equal(spec.fp8_fallback.begin(), spec.fp8_fallback.end(),
                         spec.fp8_fallback_documented.begin()));
  EXPECT_TRUE(
      Regex(spec.fp8_fallback_documented.back()).search("single_transformer_blocks.12.proj_mlp"));
}

TEST(Detect, KnowsPublishedModelsByNamesAlone) {
  const std::map<std::string, std::pair<std::string, std::string>> expected = {
      {"flux1-dev", {"flux1", "dev"}},
      {"flux1-schnell", {"flux1", "schnell"}},
      {"flux2-dev", {"flux2", "dev"}},
      {"hunyuan-video", {"hunyuan-video", "T2V"}},
      {"wan2.2-t2v-a14b", {"wan", "2.2-T2V-A14B (one expert)"}},
      {"wan2.2-ti2v-5b", {"wan", "2.2-TI2V-5B"}},
  };
  for (const auto& [model, names] : expected) {
    const Detection found = detect(Json(), published(model), {});
    ASSERT_NE(found.family, nullptr) << model;
    EXPECT_EQ(found.family->name, names.first);
    ASSERT_NE(found.variant, nullptr) << model;
    EXPECT_EQ(found.variant->name, names.second);
    EXPECT_EQ(found.dialect, "diffusers");
    EXPECT_EQ(found.scheme, "bf16");
    EXPECT_FALSE(found.reasons.empty());
  }
}

TEST(Detect, UsesTheConfigToTellVariants) {
  const TensorTable table = published("qwen-image");
  const Json edit = {{"_class_name", "QwenImageTransformer2DModel"}, {"zero_cond_t", true}};
  const Json image = {{"_class_name", "QwenImageTransformer2DModel"}, {"zero_cond_t", false}};
  EXPECT_EQ(detect(edit, table, {}).variant->name, "Edit-2511");
  EXPECT_NE(detect(image, table, {}).variant->name, "Edit-2511");
  EXPECT_NE(detect(Json(), table, {}).variant->name, "Edit-2511")
      << "the tensors alone cannot tell";
}

TEST(Detect, NamesTheScheme) {
  TensorTable table = stored((tiny_flux_fp8() / "transformer").string());
  EXPECT_EQ(detect(Json(), table, {}).scheme, "fp8-modelopt");
  EXPECT_EQ(detect(Json(), table, {}).variant->name, "tiny");
  for (auto& [name, facts] : table) {
    if (name.ends_with("_scale")) facts.shape = {1};
  }
  EXPECT_EQ(detect(Json(), table, {}).scheme, "fp8-sglang");
  table["transformer_blocks.0.attn.to_q.weight_scale"].shape = {};
  EXPECT_EQ(detect(Json(), table, {}).scheme, "mixed");
  for (const char* name : {"nvfp4", "nvfp4-svdquant"}) {
    const auto folder = golden(std::string("golden/flux1-tiny/modelopt/") + name + "/transformer");
    if (!folder) continue;
    EXPECT_EQ(detect(Json(), stored(folder->string()), {}).scheme, name);
  }
}

TEST(Detect, SaysWhenItKnowsNothing) {
  const Detection found = detect(Json(), {{"some.weight", {Dtype::f16, {4, 4}}}}, {});
  EXPECT_EQ(found.family, nullptr);
  EXPECT_EQ(found.dialect, "unknown");
  EXPECT_EQ(found.scheme, "f16");
  const Detection empty = detect({{"_class_name", "OtherModel"}}, {}, {});
  EXPECT_EQ(empty.family, nullptr);
  EXPECT_EQ(empty.scheme, "unknown");
  EXPECT_THAT(empty.reasons.front(), HasSubstr("OtherModel"));
}

TEST(Detect, TellsDialectsOfOneFamily) {
  TensorTable table = {{"img_in.weight", {}},
                       {"vector_in.in_layer.weight", {}},
                       {"single_blocks.0.modulation.lin.weight", {}}};
  EXPECT_EQ(detect(Json(), table, {}).dialect, "bfl");
  TensorTable prefixed;
  for (const auto& [name, facts] : table) prefixed["model.diffusion_model." + name] = facts;
  EXPECT_EQ(detect(Json(), prefixed, {}).dialect, "comfy");
  EXPECT_EQ(detect(Json(), prefixed, {}).family->name, "flux1");
}

}  // namespace
}  // namespace ditq::test
