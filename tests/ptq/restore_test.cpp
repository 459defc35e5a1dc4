// Exports of ModelOpt's recorded checkpoints, tensor by tensor and document by document, against ModelOpt's own.

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "format/checkpoint.h"
#include "ptq/golden_export.h"
#include "support/paths.h"

namespace ditq::test {
namespace {

namespace fs = std::filesystem;
using testing::IsEmpty;

fs::path bundled_state() {
  return tiny_flux_fp8() / "transformer.small.pt";
}

TEST(Restore, GivesModeloptsFp8ExportOfTheBundledModel) {
  const TemporaryFolder folder;
  const auto report = quantize(
      restore_request("flux-dev", tiny_flux(), "tiny-flux", bundled_state(), folder / "hf"));
  EXPECT_THAT(tensor_differences(folder / "hf/transformer", tiny_flux_fp8() / "transformer"),
              IsEmpty());
  EXPECT_EQ(text_of(folder / "hf/transformer/config.json"),
            text_of(tiny_flux_fp8() / "transformer/config.json"));
  EXPECT_EQ(report["components"]["transformer"]["quant_algo"], "FP8");
  EXPECT_EQ(report["components"]["transformer"]["quantized_layers"], 52);
}

TEST(Restore, WritesTheWholePipeline) {
  const TemporaryFolder folder;
  quantize(restore_request("flux-dev", tiny_flux(), "tiny-flux", bundled_state(), folder / "hf"));
  for (const char* part : {"text_encoder", "text_encoder_2", "vae"}) {
    EXPECT_THAT(tensor_differences(folder / ("hf/" + std::string(part)), tiny_flux() / part),
                IsEmpty());
    EXPECT_EQ(text_of(folder / ("hf/" + std::string(part) + "/config.json")),
              text_of(tiny_flux() / part / "config.json"));
  }
  for (const char* file :
       {"tokenizer/vocab.json", "tokenizer_2/spiece.model", "scheduler/scheduler_config.json"}) {
    EXPECT_EQ(text_of(folder / ("hf/" + std::string(file))), text_of(tiny_flux() / file));
  }
  const auto golden_index = golden("golden/flux1-tiny/modelopt/model_index.json");
  if (!golden_index) GTEST_SKIP() << "no golden data";
  EXPECT_EQ(text_of(folder / "hf/model_index.json"), text_of(*golden_index));
}

TEST(Restore, OfCudaArithmeticDiffersInLastBitsOnly) {
  const TemporaryFolder folder;
  QuantizeRequest request =
      restore_request("flux-dev", tiny_flux(), "tiny-flux", bundled_state(), folder / "hf");
  request.arithmetic = Arithmetic::cuda;
  quantize(request);
  const auto differences =
      tensor_differences(folder / "hf/transformer", tiny_flux_fp8() / "transformer");
  EXPECT_FALSE(differences.empty());
  for (const std::string& difference : differences) {
    EXPECT_THAT(difference, testing::EndsWith(" has other bytes"));
  }
}

/// A recorded export: the model's name in ModelOpt, its folder and what documents call it, checkpoint and export.
struct Case {
  std::string name;
  std::string model;
  std::string base;
  std::string shown;
  std::string state;
  std::string exported;
};

std::ostream& operator<<(std::ostream& out, const Case& one) {
  return out << one.name;
}

std::vector<Case> cases() {
  std::vector<Case> all = {{"flux1_nvfp4", "flux-dev", "tiny-flux", "tiny-flux",
                            "golden/flux1-tiny/modelopt/nvfp4/transformer.small.pt",
                            "golden/flux1-tiny/modelopt/nvfp4/transformer"},
                           {"flux1_fp8_whole_checkpoint", "flux-dev", "tiny-flux", "tiny-flux",
                            "golden/flux1-tiny/modelopt/fp8/transformer.pt",
                            "golden/flux1-tiny/modelopt/fp8/transformer"}};
  const std::vector<std::pair<std::string, std::string>> families = {
      {"flux2", "flux2-dev"},
      {"qwen-image", "qwen-image"},
      {"hunyuan-video", "sd3-medium"},
      {"wan22", "wan2.2-t2v-14b"},
      {"ltx2", "ltx-2"}};
  for (const auto& [family, model] : families) {
    const std::string root = "golden/families/" + family;
    for (const std::string format : {"fp8", "nvfp4"}) {
      std::string name = family + "_" + format;
      std::replace(name.begin(), name.end(), '-', '_');
      all.push_back({name, model, root + "/base/transformer", "base/transformer",
                     root + "/modelopt/" + format + "/transformer.small.pt",
                     root + "/modelopt/" + format + "/transformer"});
    }
  }
  return all;
}

class RestoreGolden : public testing::TestWithParam<Case> {};

TEST_P(RestoreGolden, EqualsTheOfficialExport) {
  const Case& one = GetParam();
  const auto exported = golden(one.exported);
  const auto state = golden(one.state);
  if (!exported || !state) GTEST_SKIP() << "no golden data";
  const TemporaryFolder folder;
  const fs::path base = one.base == "tiny-flux" ? tiny_flux() : *golden(one.base);
  quantize(restore_request(one.model, base, one.shown, *state, folder / "hf"));
  const bool whole = one.base == "tiny-flux";
  const std::string ours = folder / (whole ? "hf/transformer" : "hf");
  EXPECT_THAT(tensor_differences(ours, *exported), IsEmpty());
  EXPECT_EQ(text_of(fs::path(ours) / "config.json"), text_of(*exported / "config.json"));
  const auto metadata = [](const fs::path& path) {
    const Checkpoint checkpoint = Checkpoint::open(path.string());
    return checkpoint.shards().at(checkpoint.first_shard()).metadata;
  };
  EXPECT_EQ(metadata(ours), metadata(*exported));
}

INSTANTIATE_TEST_SUITE_P(All, RestoreGolden, testing::ValuesIn(cases()), [](const auto& info) {
  return info.param.name;
});

TEST(Restore, OfQuantizedAttentionAddsItsAmaxAndScheme) {
  const auto root = golden("golden/flux1-tiny/modelopt/fp8-mha");
  if (!root) GTEST_SKIP() << "no golden data";
  const TemporaryFolder folder;
  quantize(restore_request("flux-dev", tiny_flux(), "tiny-flux", *root / "transformer.small.pt",
                           folder / "hf"));
  EXPECT_EQ(text_of(folder / "hf/transformer/config.json"), text_of(*root / "config.json"));
  // changed.safetensors holds what the FP8 export lacks.
  std::set<std::string> expected;
  for (const std::string& line :
       tensor_differences(*root / "changed.safetensors", tiny_flux_fp8() / "transformer")) {
    if (line.ends_with(" is only in ours")) expected.insert(line);
  }
  EXPECT_EQ(expected.size(), 18U);
  EXPECT_EQ(tensor_differences(folder / "hf/transformer", tiny_flux_fp8() / "transformer"),
            expected);
  const auto changed = tensor_differences(folder / "hf/transformer", *root / "changed.safetensors");
  for (const std::string& line : changed) EXPECT_THAT(line, testing::EndsWith("only in ours"));
}

}  // namespace
}  // namespace ditq::test
