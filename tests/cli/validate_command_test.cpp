// validate up to the point where the first stage would run, and matrix.

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "cli/ditq_program.h"

namespace ditq::test {
namespace {

using testing::HasSubstr;
using testing::Not;

/// `ditq validate` of the bundled pipeline with these flags.
ProcessResult validate(const TemporaryFolder& folder, std::vector<std::string> flags) {
  flags.insert(flags.begin(),
               {"validate", "--model-path", tiny_flux().string(), "--output-dir", folder / "out"});
  return ditq(flags);
}

std::string fp8_transformer() {
  return (tiny_flux_fp8() / "transformer").string();
}

TEST(ValidateCommand, NeedsOneCandidate) {
  const TemporaryFolder folder;
  const ProcessResult none = validate(folder, {"--prompt", "a star"});
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_THAT(none.err, HasSubstr("there is no candidate"));
  const ProcessResult two =
      validate(folder, {"--prompt", "a star", "--transformer-path", fp8_transformer(),
                        "--modelopt-hf-dir", fp8_transformer()});
  EXPECT_EQ(two.exit_code, 2);
  EXPECT_THAT(two.err, HasSubstr("several candidates"));
}

TEST(ValidateCommand, SaysWhichFlagDoesNotFit) {
  const TemporaryFolder folder;
  const auto refusal = [&](const std::vector<std::string>& flags) {
    std::vector<std::string> all = {"--transformer-path", fp8_transformer()};
    all.insert(all.end(), flags.begin(), flags.end());
    const ProcessResult result = validate(folder, all);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    return result.err;
  };
  EXPECT_THAT(refusal({}), HasSubstr("a prompt is missing"));
  EXPECT_THAT(refusal({"--prompt", "x", "--calib-size", "4"}),
              HasSubstr("--calib-size goes with --format"));
  EXPECT_THAT(refusal({"--prompt", "x", "--modelopt-backbone-ckpt", "f"}),
              HasSubstr("belongs to --modelopt-hf-dir"));
  EXPECT_THAT(refusal({"--prompt", "x", "--ground-truth", "d"}), HasSubstr("goes with --case"));
  EXPECT_THAT(refusal({"--prompt", "x", "--seed", "1", "--seeds", "1,2"}),
              HasSubstr("exclude each other"));
  EXPECT_THAT(refusal({"--case", "flux1"}), HasSubstr("flux1_modelopt_fp8_t2i"));
  EXPECT_THAT(refusal({"--case", "flux1_modelopt_fp8_t2i", "--width", "256"}),
              HasSubstr("--width is the case's own"));
  EXPECT_THAT(validate(folder, {"--prompt", "x", "--format", "fp8"}).err,
              HasSubstr("--calibration-prompts-file"));
  EXPECT_FALSE(std::filesystem::exists(folder / "out"));
}

TEST(ValidateCommand, NamesWhatACaseNeedsThatIsNotHere) {
  const TemporaryFolder folder;
  for (const auto& [id, reason] : std::map<std::string, std::string>{
           {"wan22_modelopt_fp8_t2v", "a video"},
           {"flux2_modelopt_fp8_t2i", "2 GPUs"},
           {"qwen_image_edit_modelopt_fp8_ti2i", "edits a picture"}}) {
    const ProcessResult result =
        validate(folder, {"--transformer-path", fp8_transformer(), "--case", id});
    EXPECT_EQ(result.exit_code, 4);
    EXPECT_THAT(result.err, HasSubstr(reason));
  }
}

TEST(ValidateCommand, ListsTheCases) {
  const ProcessResult result = ditq({"validate", "--list-cases"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, HasSubstr("qwen_image_2512_modelopt_nvfp4_t2i"));
}

TEST(ValidateCommand, LeavesAFolderOfOthersAlone) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "out/compare");
  const ProcessResult result =
      validate(folder, {"--transformer-path", fp8_transformer(), "--prompt", "a star"});
  EXPECT_EQ(result.exit_code, 3) << result.err;
  EXPECT_THAT(result.err, HasSubstr("no validation made"));
}

TEST(MatrixCommand, ShowsRecordsOfAnyFolder) {
  const TemporaryFolder folder;
  EXPECT_THAT(ditq({"matrix"}).out, HasSubstr("black-forest-labs/FLUX.2-dev-NVFP4"));
  const ProcessResult empty = ditq({"matrix", "--records", folder.path().string(), "--json"});
  EXPECT_EQ(empty.exit_code, 0);
  EXPECT_EQ(parse_json(empty.out, "stdout"), (Json{{"rows", Json::array()}}));
  EXPECT_EQ(ditq({"matrix", "--records", folder / "gone"}).exit_code, 3);
  EXPECT_EQ(ditq({"matrix", "--markdown", "--json"}).exit_code, 2);
  std::ofstream(folder / "x.json") << R"({"ditq_record": 1, "state": "validated"})";
  const ProcessResult lie = ditq({"matrix", "--records", folder.path().string()});
  EXPECT_EQ(lie.exit_code, 3);
  EXPECT_THAT(lie.err, HasSubstr("x.json"));
}

}  // namespace
}  // namespace ditq::test
