// ditq bench on files, and what it refuses; no network runs.

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "cli/ditq_program.h"
#include "perf/perf_files.h"

namespace ditq::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string put(const std::string& path, const Json& document) {
  write_text(path, dump_json(document));
  return path;
}

TEST(BenchCommand, ComparesSglangsFilesAndOurs) {
  const TemporaryFolder folder;
  Json faster = sglang_document();
  faster["total_duration_ms"] = 700.0;
  faster["steps"][2]["duration_ms"] = 300.0;
  const std::string baseline = put(folder / "base.json", sglang_document());
  const std::string candidate = put(folder / "new.json", faster);
  const std::string ours = put(folder / "ours.json", ditq_document());
  const ProcessResult result =
      ditq({"bench", baseline, candidate, ours, "--output-json", folder / "out.json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json out = parse_json(result.out, "stdout");
  EXPECT_EQ(out["baseline"], baseline);
  ASSERT_EQ(out["comparisons"].size(), 2U);
  EXPECT_EQ(out["comparisons"][0]["end_to_end"]["status"], "better");
  EXPECT_EQ(out["comparisons"][0]["denoise"]["candidate_ms"], 300.0);
  EXPECT_EQ(out["comparisons"][1]["end_to_end"]["status"], "similar");
  EXPECT_THAT(out["comparisons"][1]["fairness"]["known_to_candidate_only"].dump(),
              HasSubstr("seed"));
  EXPECT_EQ(read_json(folder / "out.json"), out);
  EXPECT_THAT(result.err, AllOf(HasSubstr("end to end"), HasSubstr("-30.0 %"),
                                HasSubstr("not judged, because only the candidate tells")));
}

TEST(BenchCommand, AnUnfairPairEndsWithThreeAndNamesTheDifference) {
  const TemporaryFolder folder;
  const std::string baseline = put(folder / "a.json", ditq_document());
  Json other = ditq_document();
  other["meta"]["settings"]["attention_backend"] = "fp8";
  other["meta"]["settings"]["offload"]["vae_cpu_offload"] = true;
  const ProcessResult result = ditq({"bench", baseline, put(folder / "b.json", other)});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, AllOf(HasSubstr("attention_backend is \"cudnn\" against \"fp8\""),
                                HasSubstr("offload.vae_cpu_offload is false against true"),
                                HasSubstr("a.json"), HasSubstr("b.json")));
}

TEST(BenchCommand, BadFilesEndWithThree) {
  const TemporaryFolder folder;
  const std::string good = put(folder / "good.json", sglang_document());
  Json bad = sglang_document();
  bad["steps"][1]["duration_ms"] = "fast";
  const ProcessResult wrong = ditq({"bench", good, put(folder / "bad.json", bad)});
  EXPECT_EQ(wrong.exit_code, 3);
  EXPECT_THAT(wrong.err, AllOf(HasSubstr("steps[1].duration_ms"), HasSubstr("bad.json")));
  EXPECT_EQ(ditq({"bench", good, folder / "nowhere.json"}).exit_code, 3);
}

TEST(BenchCommand, FilesTakeNoFlagsOfRuns) {
  const TemporaryFolder folder;
  const std::string file = put(folder / "a.json", sglang_document());
  const auto refused = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"bench", file});
    const ProcessResult result = ditq(more);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    return result.err;
  };
  EXPECT_THAT(refused({}), HasSubstr("two or more"));
  EXPECT_THAT(refused({file, "--seed", "3"}), HasSubstr("--seed"));
  EXPECT_THAT(refused({file, "--model-path", "x"}), HasSubstr("--model-path"));
  EXPECT_THAT(refused({file, "--candidate-vae-path", "x"}), HasSubstr("no checkpoint is run"));
}

std::vector<std::string> bench_of(std::vector<std::string> more) {
  more.insert(more.begin(), {"bench", "--model-path", tiny_flux().string(), "--prompt", "a cat"});
  return more;
}

TEST(BenchCommand, WhatMayNotDifferIsRefusedByName) {
  for (const std::string side : {"reference", "candidate"}) {
    for (const std::string flag : {"seed",
                                   "prompt",
                                   "width",
                                   "height",
                                   "num-inference-steps",
                                   "num_frames",
                                   "guidance-scale",
                                   "negative-prompt",
                                   "device",
                                   "dtype",
                                   "attention-backend",
                                   "fp4-gemm-backend",
                                   "nvfp4-activations",
                                   "dit-cpu-offload",
                                   "dit-layerwise-offload",
                                   "num-gpus",
                                   "ulysses-degree",
                                   "enable-torch-compile",
                                   "profile",
                                   "graphs",
                                   "warmup-runs",
                                   "model-path",
                                   "lora-path",
                                   "output-path",
                                   "no-such-component-path"}) {
      const ProcessResult result = ditq(bench_of({"--" + side + "-" + flag, "1"}));
      std::string name = "--" + side + "-" + flag;
      std::replace(name.begin(), name.end(), '_', '-');
      EXPECT_EQ(result.exit_code, 2) << name << result.err;
      EXPECT_THAT(result.err, AllOf(HasSubstr(name + " is refused"),
                                    HasSubstr("may differ in their checkpoints only")));
    }
  }
  EXPECT_THAT(ditq(bench_of({"--candidate-seed=3"})).err, HasSubstr("--seed is one for both"));
  EXPECT_THAT(ditq(bench_of({"--no-candidate-graphs"})).err, HasSubstr("--candidate-graphs"));
  EXPECT_THAT(ditq(bench_of({"--candidate", "x.json"})).err, HasSubstr("ditq bench BASELINE"));
}

TEST(BenchCommand, AConfigFileMayNotMakeTheSidesDifferEither) {
  const TemporaryFolder folder;
  for (const char* text : {"candidate_seed: 3\n", "reference-attention-backend: fp8\n",
                           "candidate_model_path: /x\n", "candidate_num_gpus: [1]\n"}) {
    write_text(folder / "bench.yaml", text);
    const ProcessResult result = ditq(bench_of({"--config", folder / "bench.yaml"}));
    EXPECT_EQ(result.exit_code, 2) << text;
    EXPECT_THAT(result.err, AllOf(HasSubstr("is refused"), HasSubstr("checkpoints only")));
  }
}

TEST(BenchCommand, TwoEqualSidesAreAMistakeUnlessAskedFor) {
  const std::string same = (tiny_flux() / "transformer").string();
  for (const auto& more : {std::vector<std::string>{}, {"--candidate-transformer-path", same}}) {
    const ProcessResult result = ditq(bench_of(more));
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, HasSubstr("--self"));
  }
  const ProcessResult both =
      ditq(bench_of({"--self", "--candidate-transformer-path", (tiny_flux() / "vae").string()}));
  EXPECT_EQ(both.exit_code, 2);
  EXPECT_THAT(both.err, HasSubstr("the sides differ"));
}

TEST(BenchCommand, PathsOfASideMustBeThere) {
  const ProcessResult result =
      ditq(bench_of({"--candidate-component-path", "transformer=/nowhere"}));
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.err, HasSubstr("/nowhere"));
  EXPECT_EQ(ditq(bench_of({"--candidate-component-path", "transformer"})).exit_code, 2);
}

}  // namespace
}  // namespace ditq::test
