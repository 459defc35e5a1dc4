// validate for real, on the bundled pipeline and ModelOpt's export of it.

#include <csignal>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "cli/ditq_program.h"
#include "records/matrix.h"

namespace ditq::test {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ValidateRun : public testing::Test {
 protected:
  ValidateRun() {
    put("prompts.txt",
        "a large red circle on a navy background\na small white star on a black background\n");
  }

  void put(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
  }
  std::string out(const std::string& name) const { return folder_ / ("out/" + name); }

  ProcessResult run(const std::vector<std::string>& more,
                    const ProcessOptions& options = {}) const {
    std::vector<std::string> arguments = {"validate",
                                          "--model-path",
                                          tiny_flux().string(),
                                          "--prompts-file",
                                          folder_ / "prompts.txt",
                                          "--width",
                                          "64",
                                          "--height",
                                          "64",
                                          "--num-inference-steps",
                                          "2",
                                          "--output-dir",
                                          folder_ / "out",
                                          "--device",
                                          "cpu"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return ditq(arguments, options);
  }
  /// The bundled export, built and validated; no benchmark, which says nothing on a busy machine.
  ProcessResult run_export(const std::vector<std::string>& more = {},
                           const ProcessOptions& options = {}) const {
    std::vector<std::string> arguments = {"--modelopt-hf-dir",
                                          tiny_flux_fp8().string(),
                                          "--modelopt-backbone-ckpt",
                                          (tiny_flux_fp8() / "transformer.small.pt").string(),
                                          "--bench",
                                          "false"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments, options);
  }

  TemporaryFolder folder_;
};

/// Names of the stages that ran in this call.
std::vector<std::string> stages_run(const ProcessResult& result) {
  std::vector<std::string> names;
  const Json summary = parse_json(result.out, "stdout");
  for (const Json& stage : summary["stages"]) {
    if (!stage["reused"].get<bool>()) names.push_back(stage["name"].get<std::string>());
  }
  return names;
}

TEST_F(ValidateRun, GoesTheWholeWayOnce) {
  const ProcessResult first = run_export({"--record", folder_ / "records/tiny.json"});
  ASSERT_EQ(first.exit_code, 5) << "the folder of --record is not there, and that is known at once";
  fs::create_directory(folder_ / "records");
  const ProcessResult whole = run_export({"--record", folder_ / "records/tiny.json"});
  ASSERT_EQ(whole.exit_code, 0) << whole.err;
  EXPECT_THAT(stages_run(whole),
              ElementsAre("baseline", "build", "doctor", "compare", "report", "record"));
  EXPECT_TRUE(fs::exists(out("report/report.html")));
  EXPECT_TRUE(fs::exists(out("build/transformer/config.json")));

  const SupportRecord record = read_record(folder_ / "records/tiny.json");
  EXPECT_EQ(state_of(record), SupportState::validated);
  EXPECT_EQ(record.algorithm, "FP8");
  EXPECT_EQ(record.family, "flux1");
  EXPECT_EQ(record.validation->scope.runs, 2);
  EXPECT_EQ(record.validation->scope.width, 64);
  EXPECT_EQ(record.validation->scope.arithmetic, "emulated");
  EXPECT_THAT(record.validation->commands, testing::Contains(HasSubstr("ditq build-fp8")));

  const ProcessResult again = run_export();
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(stages_run(again), IsEmpty());

  put("prompts.txt",
      "a large red circle on a navy background\na large green square on a gray background\n");
  EXPECT_THAT(stages_run(run_export()), ElementsAre("compare", "report", "record"));
  EXPECT_THAT(stages_run(run_export({"--only", "doctor"})), ElementsAre("doctor"));
  EXPECT_THAT(stages_run(run_export({"--title", "another"})), testing::Contains("report"));
}

TEST_F(ValidateRun, SeesWhatIsInAKernelTable) {
  const std::string table = folder_ / "kernels.txt";
  const auto run_with = [&](char digit) {
    put("kernels.txt", "NVIDIA H200|130100|m1|" + std::string(128, digit) + "\n");
    return run_export({"--kernel-table", table});
  };
  const ProcessResult first = run_with('1');
  ASSERT_EQ(first.exit_code, 0) << first.err;
  EXPECT_THAT(stages_run(run_with('1')), IsEmpty());
  EXPECT_THAT(stages_run(run_with('2')), ElementsAre("baseline", "compare", "report", "record"));
}

TEST_F(ValidateRun, FailsTheGateByNameAndStillReports) {
  const ProcessResult result = run_export({"--require", "psnr>=90"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("compare: psnr"));
  EXPECT_THAT(result.err, HasSubstr("required >= 90"));
  EXPECT_TRUE(fs::exists(out("report/report.html")));
  EXPECT_EQ(state_of(read_record(out("record/record.json"))), SupportState::failed);
  EXPECT_EQ(run_export({"--require", "psnr>=90"}).exit_code, 1);
}

TEST_F(ValidateRun, ContinuesAfterAKill) {
  const ProcessResult killed =
      run_export({"--verbose"}, {.environment = {},
                                 .stdout_path = {},
                                 .signal = SIGKILL,
                                 .signal_after = "the checkpoint is what it says"});
  EXPECT_EQ(killed.exit_code, 128 + SIGKILL);
  const ProcessResult result = run_export();
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(stages_run(result), ElementsAre("doctor", "compare", "report", "record"));
}

TEST_F(ValidateRun, StopsWhereACommandCannotGoOn) {
  fs::create_directory(folder_ / "empty");
  const ProcessResult result = run({"--transformer-path", folder_ / "empty", "--bench", "false"});
  EXPECT_EQ(result.exit_code, 3) << result.err;
  EXPECT_THAT(result.err, HasSubstr("stage doctor"));
}

TEST_F(ValidateRun, RefusesABaselineThatIsItselfQuantized) {
  fs::copy(tiny_flux(), folder_ / "base", fs::copy_options::recursive);
  fs::remove_all(folder_ / "base/transformer");
  fs::copy(tiny_flux_fp8() / "transformer", folder_ / "base/transformer",
           fs::copy_options::recursive);
  std::vector<std::string> arguments = {"validate",
                                        "--model-path",
                                        folder_ / "base",
                                        "--transformer-path",
                                        (tiny_flux() / "transformer").string(),
                                        "--prompt",
                                        "a star",
                                        "--width",
                                        "64",
                                        "--height",
                                        "64",
                                        "--num-inference-steps",
                                        "1",
                                        "--bench",
                                        "false",
                                        "--output-dir",
                                        folder_ / "out",
                                        "--device",
                                        "cpu"};
  const ProcessResult result = ditq(arguments);
  EXPECT_NE(result.exit_code, 0);
  EXPECT_THAT(result.err, HasSubstr("baseline"));
}

}  // namespace
}  // namespace ditq::test
