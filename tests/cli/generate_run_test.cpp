// generate and compare for real, on the bundled pipeline.

#include <csignal>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "cli/ditq_program.h"

namespace ditq::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const std::string kPrompt = "a large red circle on a navy background";

std::vector<std::string> small_run(const std::string& command,
                                   const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {
      command,    "--model-path", tiny_flux().string(),    "--width", "64",
      "--height", "64",           "--num-inference-steps", "2"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

/// The converted FP8 transformer, made once.
const std::string& fp8_transformer() {
  static const TemporaryFolder folder;
  static const std::string path = [] {
    const std::string out = folder / "fp8";
    const ProcessResult result =
        ditq({"build-fp8", "--modelopt-hf-dir", tiny_flux_fp8().string(),
              "--modelopt-backbone-ckpt", (tiny_flux_fp8() / "transformer.small.pt").string(),
              "--base-transformer-dir", tiny_flux().string(), "--output-dir", out});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return out;
  }();
  return path;
}

std::size_t count_files(const std::filesystem::path& folder, const std::string& extension) {
  if (!std::filesystem::exists(folder)) return 0;
  const auto fits = [&](const auto& entry) { return entry.path().extension() == extension; };
  return static_cast<std::size_t>(std::count_if(std::filesystem::directory_iterator(folder),
                                                std::filesystem::directory_iterator(), fits));
}

TEST(GenerateCommand, WritesOnePicturePerPromptAndOutput) {
  const TemporaryFolder folder;
  const ProcessResult result = ditq(small_run(
      "generate", {"--prompt", kPrompt, "--prompt", "a small white star on a black background",
                   "--num_outputs_per_prompt", "2", "--output-path", folder / "out", "--quiet"}));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  const Json summary = parse_json(result.out, "stdout");
  ASSERT_EQ(summary["outputs"].size(), 4U);
  for (const Json& output : summary["outputs"]) {
    EXPECT_TRUE(std::filesystem::exists(output["picture"].get<std::string>()));
  }
  EXPECT_EQ(count_files(folder / "out", ".png"), 4U);
}

TEST(GenerateCommand, WritesTrajectoryAndTimingsWhereAskedFor) {
  const TemporaryFolder folder;
  const ProcessResult result =
      ditq(small_run("generate", {"--prompt", kPrompt, "--no-save-output",
                                  "--return-trajectory-latents", "true", "--output-path",
                                  folder / "out", "--perf-dump-path", folder / "deep/perf.json"}));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(count_files(folder / "out", ".png"), 0U);
  EXPECT_EQ(count_files(folder / "out", ".safetensors"), 1U);
  const Json perf = read_json(folder / "deep/perf.json");
  for (const char* key : {"timestamp", "request_id", "commit_hash", "tag", "total_duration_ms",
                          "steps", "denoise_steps_ms", "memory_checkpoints", "meta"}) {
    EXPECT_TRUE(perf.contains(key)) << key;
  }
  EXPECT_EQ(perf["meta"]["command"][1], "generate");
}

TEST(GenerateCommand, SaysWhatWasLoaded) {
  const TemporaryFolder folder;
  const ProcessResult result =
      ditq(small_run("generate", {"--prompt", kPrompt, "--output-path", folder / "out",
                                  "--transformer-path", fp8_transformer()}));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("flux1"));
  EXPECT_THAT(result.err, HasSubstr("fp8"));
}

TEST(GenerateCommand, TunesKernelsOfGpusOnlyAndChecksTheirTable) {
  const TemporaryFolder folder;
  const auto run = [&](const std::vector<std::string>& more) {
    std::vector<std::string> flags = {"--prompt", kPrompt,         "--device",
                                      "cpu",      "--output-path", folder / "out"};
    flags.insert(flags.end(), more.begin(), more.end());
    return ditq(small_run("generate", flags));
  };
  const std::string table = folder / "kernels.txt";
  const ProcessResult nowhere = run({"--tune-kernels", "true"});
  EXPECT_EQ(nowhere.exit_code, 2);
  EXPECT_THAT(nowhere.err, HasSubstr("--kernel-table FILE"));
  const ProcessResult on_cpu = run({"--tune-kernels", "true", "--kernel-table", table});
  EXPECT_EQ(on_cpu.exit_code, 4);
  EXPECT_FALSE(std::filesystem::exists(table));
  const ProcessResult in_the_way = run({"--tune-kernels", "true", "--kernel-table", folder / "."});
  EXPECT_EQ(in_the_way.exit_code, 5) << "known before anything is searched";
  EXPECT_EQ(run({"--kernel-table", table}).exit_code, 3);
  std::ofstream(table) << "no table\n";
  const ProcessResult broken = run({"--kernel-table", table});
  EXPECT_EQ(broken.exit_code, 3);
  EXPECT_THAT(broken.err, AllOf(HasSubstr("line 1: 'no table'"), HasSubstr(table)));
  std::ofstream(table) << "NVIDIA H200|130100|m1|" << std::string(128, '0') << "\n";
  EXPECT_EQ(run({"--kernel-table", table}).exit_code, 0);
}

TEST(GenerateCommand, EndsWith130AndWithoutOutputWhenInterrupted) {
  const TemporaryFolder folder;
  const ProcessResult result =
      ditq({"generate", "--model-path", tiny_flux().string(), "--prompt", kPrompt, "--width", "512",
            "--height", "512", "--num-inference-steps", "500", "--verbose", "--output-path",
            folder / "out"},
           {.signal = SIGINT, .signal_after = "engine: "});
  EXPECT_EQ(result.exit_code, 130) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(count_files(folder / "out", ".png"), 0U);
}

TEST(CompareCommand, PrintsSglangsShortResultAndExitsWithOneWhenABarIsMissed) {
  const TemporaryFolder folder;
  const std::vector<std::string> base = {"--prompt",
                                         kPrompt,
                                         "--candidate-component-path",
                                         "transformer=" + fp8_transformer(),
                                         "--output-json",
                                         folder / "report.json"};
  std::vector<std::string> arguments = base;
  arguments.insert(arguments.end(), {"--require", "cosine>=0.9,last.cosine>0.9"});
  const ProcessResult held = ditq(small_run("compare", arguments));
  ASSERT_EQ(held.exit_code, 0) << held.err;
  const Json brief = parse_json(held.out, "stdout");
  for (const char* key : {"output_json", "trajectory_selected_step",
                          "reference_avg_generation_time_s", "candidate_avg_generation_time_s",
                          "trajectory_cosine", "trajectory_mae", "frame0_psnr_db", "frame0_mae"}) {
    EXPECT_TRUE(brief.contains(key)) << key;
  }
  const Json report = read_json(folder / "report.json");
  EXPECT_EQ(report["server_kwargs"]["candidate"]["component_paths"]["transformer"],
            fp8_transformer());
  EXPECT_FALSE(report["server_kwargs"]["reference"].contains("component_paths"));

  arguments = base;
  arguments.insert(arguments.end(), {"--require", "cosine>=1.5"});
  const ProcessResult missed = ditq(small_run("compare", arguments));
  EXPECT_EQ(missed.exit_code, 1);
  EXPECT_THAT(missed.err, HasSubstr("missed: "));
}

TEST(BenchCommand, TimesACandidateAgainstTheBundledPipeline) {
  const TemporaryFolder folder;
  const ProcessResult result =
      ditq(small_run("bench", {"--prompt", kPrompt, "--candidate-transformer-path",
                               fp8_transformer(), "--output-dir", folder / "runs", "--output-json",
                               folder / "bench.json", "--measure-runs", "1"}));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json brief = parse_json(result.out, "stdout");
  EXPECT_GT(brief["reference"]["denoise_ms"].get<double>(), 0);
  EXPECT_TRUE(brief["speedup"]["denoise"].contains("low"));
  EXPECT_EQ(count_files(folder / "runs", ".json"), 4U);
  const Json report = read_json(folder / "bench.json");
  EXPECT_EQ(report["candidate"]["sources"]["components"]["transformer"], fp8_transformer());
  EXPECT_EQ(report["differing"], Json({"transformer"}));
  EXPECT_THAT(result.err, AllOf(HasSubstr("denoising"), HasSubstr("times as fast")));

  const ProcessResult files = ditq({"bench", folder / "runs/reference-visit0-run0.perf.json",
                                    folder / "runs/candidate-visit1-run0.perf.json"});
  EXPECT_EQ(files.exit_code, 0) << files.err;
}

TEST(BenchCommand, GeneratesFilesOfOtherSettingsAreUnfair) {
  const TemporaryFolder folder;
  const auto perf = [&](const std::string& name, const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"--prompt", kPrompt, "--no-save-output",
                                          "--perf-dump-path", folder / name};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ProcessResult result = ditq(small_run("generate", arguments));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return folder / name;
  };
  const std::string baseline = perf("base.json", {});
  const std::vector<std::pair<std::string, std::vector<std::string>>> changes = {
      {"num_inference_steps", {"--num-inference-steps", "3"}},
      {"seed", {"--seed", "7"}},
      {"width", {"--width", "128"}},
      {"prompt", {"--prompt", "a second one"}},
      {"attention_backend", {"--attention-backend", "fp8"}},
      {"guidance_scale", {"--guidance-scale", "2"}},
      {"dtype", {"--dtype", "fp32"}}};
  for (const auto& [name, flags] : changes) {
    const ProcessResult result = ditq({"bench", baseline, perf(name + ".json", flags)});
    EXPECT_EQ(result.exit_code, 3) << name;
    EXPECT_THAT(result.err, HasSubstr(name + " is ")) << name;
  }
  EXPECT_EQ(ditq({"bench", baseline, perf("fp8.json", {"--transformer-path", fp8_transformer()})})
                .exit_code,
            0)
      << "another checkpoint is what may differ";
}

}  // namespace
}  // namespace ditq::test
