#include "perf/fairness.h"

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "perf/perf_files.h"

namespace ditq {
namespace {

using test::ditq_document;
using test::error_of;
using test::perf_of;
using test::sglang_document;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

TEST(Fairness, EqualSettingsAreFair) {
  const Fairness fairness = judge_fairness(perf_of(ditq_document()), perf_of(ditq_document()));
  EXPECT_TRUE(fairness.is_fair());
  EXPECT_THAT(fairness.equal, Contains("offload.dit_cpu_offload"));
  EXPECT_THAT(fairness.only_baseline, IsEmpty());
}

// Found by fuzzing: nested settings that the files list in another order.
TEST(Fairness, SaysTheSameOfAPairInBothDirections) {
  PerfFile baseline;
  baseline.settings = {{"b", {{"x", 1}}}, {"a", {{"y", 2}}}, {"c", 3}};
  PerfFile candidate;
  candidate.settings = {{"a", {{"z", 2}}}, {"b", {{"w", 1}}}};
  const Fairness there = judge_fairness(baseline, candidate);
  const Fairness back = judge_fairness(candidate, baseline);
  EXPECT_THAT(there.only_baseline, testing::ElementsAre("a.y", "b.x", "c"));
  EXPECT_EQ(there.only_baseline, back.only_candidate);
  EXPECT_EQ(there.only_candidate, back.only_baseline);
}

/// A setting that a candidate was run with, as a file may state it.
struct Change {
  const char* name;
  Json value;
};

TEST(Fairness, EveryDifferenceThatBothKnowIsRefusedByNameWithBothValues) {
  const std::vector<Change> changes = {{"prompt", "a dog"},
                                       {"negative_prompt", "blurry"},
                                       {"seed", 7},
                                       {"width", 512},
                                       {"height", 512},
                                       {"num_frames", 81},
                                       {"num_inference_steps", 28},
                                       {"guidance_scale", 4.0},
                                       {"true_cfg_scale", 4.5},
                                       {"dtype", "fp32"},
                                       {"device", "cpu"},
                                       {"device_model", "NVIDIA H200"},
                                       {"attention_backend", "fp8"},
                                       {"fp4_gemm_backend", "cutlass"},
                                       {"nvfp4_activations", "bf16"},
                                       {"offload.dit_cpu_offload", true},
                                       {"offload.vae_cpu_offload", true},
                                       {"topology.num_gpus", 8},
                                       {"topology.ulysses_degree", 2},
                                       {"graphs", false},
                                       {"compile", true},
                                       {"profiler", true},
                                       {"warmup_runs", 0}};
  const PerfFile baseline = perf_of(ditq_document());
  for (const Change& change : changes) {
    PerfFile candidate = baseline;
    std::string pointer = std::string("/") + change.name;
    for (char& c : pointer) c = c == '.' ? '/' : c;
    const Json before = candidate.settings.at(Json::json_pointer(pointer));
    candidate.settings[Json::json_pointer(pointer)] = change.value;
    EXPECT_THAT(error_of([&] { require_fair(baseline, candidate); }),
                AllOf(StartsWith("unfair"),
                      HasSubstr(std::string(change.name) + " is " + dump_json(before) +
                                " against " + dump_json(change.value))))
        << change.name;
  }
}

TEST(Fairness, NamesAllDifferencesAtOnce) {
  PerfFile candidate = perf_of(ditq_document());
  candidate.settings["seed"] = 1;
  candidate.settings["width"] = 64;
  EXPECT_THAT(error_of([&] { require_fair(perf_of(ditq_document()), candidate); }),
              AllOf(HasSubstr("seed is 42 against 1"), HasSubstr("width is 1024 against 64")));
}

TEST(Fairness, MeasuredStepsTellWhatNoFileStates) {
  const auto refusal =
      error_of([] { require_fair(perf_of(sglang_document(4)), perf_of(sglang_document(8))); });
  EXPECT_THAT(refusal, AllOf(StartsWith("unfair"), HasSubstr("num_inference_steps is 4 against 8"),
                             HasSubstr("measured_steps is 4 against 8")));
}

TEST(Fairness, PromptsOfSglangsFilesAreCompared) {
  EXPECT_THAT(error_of([] {
                require_fair(perf_of(sglang_document(4, "a cat")),
                             perf_of(sglang_document(4, "a dog")));
              }),
              HasSubstr("prompt is \"a cat\" against \"a dog\""));
}

TEST(Fairness, WhatOneFileAloneKnowsIsANote) {
  const Fairness fairness = judge_fairness(perf_of(sglang_document()), perf_of(ditq_document()));
  EXPECT_TRUE(fairness.is_fair());
  EXPECT_THAT(fairness.only_candidate,
              AllOf(Contains("seed"), Contains("offload.vae_cpu_offload")));
  EXPECT_THAT(fairness.only_baseline, IsEmpty());
  EXPECT_THAT(fairness.equal, Contains("prompt"));
}

TEST(Fairness, SettingsNobodyHeardOfCountToo) {
  PerfFile baseline = perf_of(ditq_document());
  PerfFile candidate = baseline;
  baseline.settings["sparse_attention"] = {{"ratio", 0.5}};
  candidate.settings["sparse_attention"] = false;
  EXPECT_THAT(error_of([&] { require_fair(baseline, candidate); }), HasSubstr("sparse_attention"));
}

TEST(Fairness, TheNumberOfADeviceIsNoDifferenceItsModelIs) {
  Json baseline = sglang_document();
  Json candidate = sglang_document();
  baseline["meta"]["device"] = "cuda:0 (NVIDIA H100 80GB HBM3)";
  candidate["meta"]["device"] = "cuda:3 (NVIDIA H100 80GB HBM3)";
  EXPECT_TRUE(judge_fairness(perf_of(baseline), perf_of(candidate)).is_fair());
  candidate["meta"]["device"] = "cuda:0 (NVIDIA H200)";
  EXPECT_THAT(error_of([&] { require_fair(perf_of(baseline), perf_of(candidate)); }),
              HasSubstr("device_model"));
}

}  // namespace
}  // namespace ditq
