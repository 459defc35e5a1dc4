// ditq quantize as a user runs it, where no network has to run.

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "cli/ditq_program.h"

namespace ditq::test {
namespace {

using testing::HasSubstr;

class QuantizeCommand : public testing::Test {
 protected:
  ProcessResult run(std::vector<std::string> more) const {
    std::vector<std::string> arguments = {"quantize", "--override-model-path",
                                          tiny_flux().string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return ditq(arguments);
  }

  /// With a prompts file and an output.
  ProcessResult calibrate(std::vector<std::string> more, const std::string& prompts = "a\n") const {
    write_text(folder_ / "prompts.txt", prompts);
    std::vector<std::string> arguments = {"--format",       "fp8",
                                          "--prompts-file", folder_ / "prompts.txt",
                                          "--hf-ckpt-dir",  folder_ / "hf"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  }

  TemporaryFolder folder_;
  const std::string state_ = (tiny_flux_fp8() / "transformer.small.pt").string();
};

TEST_F(QuantizeCommand, RestoresACheckpointAndSaysWhatItDid) {
  const ProcessResult result =
      run({"--restore-from", state_, "--arithmetic", "cpu", "--hf-ckpt-dir", folder_ / "hf",
           "--quantized-torch-ckpt-save-path", folder_ / "ck", "--torch-ckpt-name", "backbone"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json report = parse_json(result.out, "stdout");
  EXPECT_EQ(report["components"]["transformer"]["quant_algo"], "FP8");
  EXPECT_TRUE(std::filesystem::exists(folder_ / "ck/backbone.pt"));
  const Json config = read_json(folder_ / "hf/transformer/config.json");
  EXPECT_EQ(config["_name_or_path"], (tiny_flux() / "transformer").string());
  EXPECT_EQ(config["quantization_config"]["producer"]["version"], "0.47.0");
  EXPECT_FALSE(config.contains("ditq"));
}

TEST_F(QuantizeCommand, RefusesWhatIsNotBuiltByNameWithFour) {
  const std::vector<std::vector<std::string>> cases = {
      {"--format", "int8"},        {"--format", "fp8", "--quant-algo", "smoothquant"},
      {"--onnx-dir", "x"},         {"--compress"},
      {"--percentile", "0.9"},     {"--collect-method", "default"},
      {"--model", "hunyuan"},      {"--format", "fp8", "--model-dtype", "Half"},
      {"--extra-param", "fps=24"},
  };
  for (std::vector<std::string> more : cases) {
    const ProcessResult result = calibrate(more);
    EXPECT_EQ(result.exit_code, 4) << more.front() << ": " << result.err;
    EXPECT_FALSE(std::filesystem::exists(folder_ / "hf"));
  }
  EXPECT_THAT(calibrate({"--onnx-dir", "x"}).err, HasSubstr("--onnx-dir"));
}

TEST_F(QuantizeCommand, RefusesCountsThatAreNotPositive) {
  for (const char* flag : {"--batch-size", "--calib-size", "--n-steps"}) {
    for (const char* value : {"0", "-1"}) {
      const ProcessResult result = calibrate({flag, value});
      EXPECT_EQ(result.exit_code, 2) << flag;
      EXPECT_THAT(result.err, HasSubstr(flag));
    }
  }
}

TEST_F(QuantizeCommand, NeedsPromptsAndAFormatToCalibrate) {
  EXPECT_EQ(calibrate({}, "").exit_code, 3) << "an empty file";
  const ProcessResult without = run({"--format", "fp8", "--hf-ckpt-dir", folder_ / "hf"});
  EXPECT_EQ(without.exit_code, 2);
  EXPECT_THAT(without.err, HasSubstr("--prompts-file"));
  EXPECT_EQ(run({"--hf-ckpt-dir", folder_ / "hf"}).exit_code, 2) << "no format";
  EXPECT_EQ(run({"--format", "fp8", "--prompts-file", folder_ / "prompts.txt"}).exit_code, 3)
      << "still the empty file";
  write_text(folder_ / "prompts.txt", "a\n");
  EXPECT_EQ(run({"--format", "fp8", "--prompts-file", folder_ / "prompts.txt"}).exit_code, 2)
      << "no output";
}

TEST_F(QuantizeCommand, NamesModelsAndCheckpointsThatAreNotThere) {
  const ProcessResult model = ditq({"quantize", "--override-model-path", folder_ / "none",
                                    "--restore-from", state_, "--hf-ckpt-dir", folder_ / "hf"});
  EXPECT_EQ(model.exit_code, 3);
  EXPECT_THAT(model.err, HasSubstr("none"));
  const ProcessResult state =
      run({"--restore-from", folder_ / "none", "--hf-ckpt-dir", folder_ / "hf"});
  EXPECT_EQ(state.exit_code, 3);
  EXPECT_THAT(state.err, HasSubstr("--restore-from"));
}

}  // namespace
}  // namespace ditq::test
