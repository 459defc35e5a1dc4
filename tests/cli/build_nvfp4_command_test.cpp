// build-nvfp4 as a user runs it, on an export of one layer.

#include <cstring>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "cli/ditq_program.h"
#include "format/helpers.h"
#include "format/safetensors.h"

namespace ditq::test {
namespace {

using testing::HasSubstr;
using testing::Not;

// export/ with one NVFP4 layer "a" [8, 32], base/ with the same in BF16.
class BuildNvfp4Command : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* part : {"export", "base"}) std::filesystem::create_directory(folder_ / part);
    put_config("NVFP4");
    put_file(folder_ / "base/config.json", "{}");
    const float scale = 0.5f;
    const std::vector<std::byte> ones(8 * 32 * 2, std::byte{0x38});
    const Bytes one = std::as_bytes(std::span(&scale, 1));
    const auto first = [&ones](std::size_t size) { return Bytes(ones).first(size); };
    const std::string shard = "/diffusion_pytorch_model.safetensors";
    write_safetensors((folder_ / "export") + shard,
                      {{"a.weight", Dtype::u8, {8, 16}, first(8 * 16)},
                       {"a.weight_scale", Dtype::f8_e4m3, {8, 2}, first(8 * 2)},
                       {"a.weight_scale_2", Dtype::f32, {}, one},
                       {"a.input_scale", Dtype::f32, {}, one}},
                      {});
    write_safetensors((folder_ / "base") + shard,
                      {{"a.weight", Dtype::bf16, {8, 32}, first(8 * 32 * 2)}}, {});
  }

  void put_config(const std::string& algorithm) const {
    put_file(folder_ / "export/config.json",
             R"({"quantization_config": {"quant_method": "modelopt", "quant_algo": ")" + algorithm +
                 R"("}})");
  }

  ProcessResult run(const std::vector<std::string>& more) const {
    std::vector<std::string> arguments = {
        "build-nvfp4",    "--modelopt-hf-dir", folder_ / "export", "--base-transformer-dir",
        folder_ / "base", "--output-dir",      folder_ / "out",    "--overwrite"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return ditq(arguments);
  }

  bool written_swap() const {
    return read_json(folder_ / "out/config.json")["quantization_config"]["swap_weight_nibbles"]
        .get<bool>();
  }

  TemporaryFolder folder_;
};

TEST_F(BuildNvfp4Command, PrintsTheStatisticsAndNothingElseOnStdout) {
  const ProcessResult result =
      run({"--keep_bf16_pattern", "a*", "--no-swap-weight-nibbles", "--quiet"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.err, "");
  EXPECT_EQ(result.out,
            "{\n"
            "  \"fallback_modules\": 1,\n"
            "  \"output_shards\": 1,\n"
            "  \"removed_aux_tensors\": 3,\n"
            "  \"replaced_tensors\": 1,\n"
            "  \"swap_weight_nibbles\": false\n"
            "}\n");
}

TEST_F(BuildNvfp4Command, TheLastNibbleFlagCountsAndNoneWarns) {
  EXPECT_THAT(run({"--swap-weight-nibbles", "--no-swap-weight-nibbles"}).err,
              Not(HasSubstr("warning")));
  EXPECT_FALSE(written_swap());
  EXPECT_EQ(run({"--no-swap-weight-nibbles", "--swap-weight-nibbles"}).exit_code, 0);
  EXPECT_TRUE(written_swap());
  EXPECT_THAT(run({}).err, HasSubstr("low nibble first"));
  EXPECT_TRUE(written_swap());
}

TEST_F(BuildNvfp4Command, ExitCodesTellUsageBadInputAndUnsupportedApart) {
  EXPECT_EQ(ditq({"build-nvfp4", "--output-dir", folder_ / "out"}).exit_code, 2);
  const ProcessResult preset = run({"--pattern-preset", "flux2-nvfp4"});
  EXPECT_EQ(preset.exit_code, 2);
  EXPECT_THAT(preset.err, HasSubstr("flux1-nvfp4"));
  EXPECT_EQ(run({"--keep-bf16-pattern", "("}).exit_code, 2);
  EXPECT_EQ(run({"--pattern-preset", "flux1-nvfp4"}).exit_code, 3);
  put_config("NVFP4_SVD");
  EXPECT_EQ(run({}).exit_code, 4);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out"));
}

}  // namespace
}  // namespace ditq::test
