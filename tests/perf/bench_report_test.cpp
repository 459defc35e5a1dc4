#include "perf/bench_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "perf/perf_files.h"

namespace ditq {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

/// A run of these milliseconds in text encoding, denoising and decoding.
BenchRun run_of(std::size_t visit, double denoise, double text = 100, double decode = 50) {
  Json document = test::sglang_document();
  document["steps"] = {{{"name", "TextEncodingStage"}, {"duration_ms", text}},
                       {{"name", "DenoisingStage"}, {"duration_ms", denoise}},
                       {{"name", "DecodingStage"}, {"duration_ms", decode}}};
  document["total_duration_ms"] = text + denoise + decode;
  for (Json& step : document["denoise_steps_ms"]) step["duration_ms"] = denoise / 4;
  return {.perf = test::perf_of(document), .visit = visit, .perf_path = {}};
}

BenchSide side_of(const std::vector<BenchRun>& runs) {
  BenchSide out;
  out.runs = runs;
  out.load_seconds = {1, 3};
  out.description = {{"scheme", "fp8"}, {"arithmetic", {{"real", 10}}}};
  return out;
}

BenchRuns runs_of(const std::vector<BenchRun>& reference, const std::vector<BenchRun>& candidate) {
  return {.reference = side_of(reference),
          .candidate = side_of(candidate),
          .differing = {"transformer"},
          .components = {"text_encoder", "transformer", "vae"}};
}

/// Four steady runs of each side: the candidate's denoising takes 600 ms for 1000 ms.
BenchRuns faster() {
  return runs_of({run_of(0, 1000), run_of(0, 1001), run_of(3, 999), run_of(3, 1002)},
                 {run_of(1, 600), run_of(1, 601), run_of(2, 599), run_of(2, 602)});
}

TEST(BenchReport, HoldsMediansRatiosAndEveryRun) {
  const Json report = bench_results(faster());
  EXPECT_EQ(report["reference"]["denoise"]["median_ms"], 1000.5);
  EXPECT_EQ(report["reference"]["denoise"]["min_ms"], 999);
  EXPECT_EQ(report["reference"]["load_s"], 2.0);
  EXPECT_EQ(report["reference"]["scheme"], "fp8");
  ASSERT_EQ(report["candidate"]["runs"].size(), 4U);
  EXPECT_EQ(report["candidate"]["runs"][2]["visit"], 2);
  EXPECT_EQ(report["candidate"]["runs"][0]["steps_ms"].size(), 4U);
  EXPECT_NEAR(report["speedup"]["denoise"]["ratio"].get<double>(), 1000.5 / 600.5, 1e-12);
  EXPECT_EQ(report["speedup"]["text"]["ratio"], 1.0);
  EXPECT_EQ(report["peak_memory_ratio"], 1.0);
  EXPECT_EQ(report["comparison"]["end_to_end"]["status"], "better");
}

TEST(BenchReport, SaysThatTheGainLiesInDenoising) {
  EXPECT_THAT(bench_reading(faster()),
              AllOf(Contains(HasSubstr("1.67 times as fast as the reference")),
                    Contains(HasSubstr("100 % of the difference lies in denoising")),
                    Contains(AllOf(HasSubstr("exchanged: transformer"),
                                   HasSubstr("shared by both sides: text_encoder, vae"),
                                   HasSubstr("no result of a full model"))),
                    Not(Contains(HasSubstr("drift"))), Not(Contains(HasSubstr("throttled")))));
}

TEST(BenchReport, DoubtsAGainOutsideOfDenoising) {
  const BenchRuns runs = runs_of({run_of(0, 1000, 900), run_of(3, 1001, 901)},
                                 {run_of(1, 1000, 100), run_of(2, 1001, 101)});
  EXPECT_THAT(bench_reading(runs), AllOf(Contains(HasSubstr("no gain and no loss is shown")),
                                         Contains(HasSubstr("no gain or loss of the checkpoint"))));
}

TEST(BenchReport, ADifferenceWithinTheSpreadIsNone) {
  const BenchRuns runs = runs_of({run_of(0, 1000), run_of(0, 1100), run_of(3, 1000)},
                                 {run_of(1, 990), run_of(1, 1090), run_of(2, 1005)});
  EXPECT_THAT(bench_reading(runs),
              AllOf(Contains(HasSubstr("denoising: the difference is within the spread")),
                    Contains(AllOf(HasSubstr("end to end"), HasSubstr("within the spread")))));
}

TEST(BenchReport, TooFewRunsAreSaid) {
  EXPECT_THAT(bench_reading(runs_of({run_of(0, 1000)}, {run_of(1, 500)})),
              Contains(HasSubstr("too few runs")));
  EXPECT_THAT(bench_reading(faster()), Not(Contains(HasSubstr("too few runs"))));
}

TEST(BenchReport, NamesVisitsThatDrift) {
  const BenchRuns runs =
      runs_of({run_of(0, 1000), run_of(0, 1001), run_of(3, 1100), run_of(3, 1101)},
              {run_of(1, 600), run_of(2, 601)});
  EXPECT_THAT(bench_reading(runs),
              Contains(AllOf(HasSubstr("the reference's visits drift"), HasSubstr("in visit 1"),
                             HasSubstr("in visit 4"))));
}

TEST(BenchReport, NamesWhatThrottledTheDevice) {
  BenchRuns runs = faster();
  runs.candidate.device_state = {
      {{"visit", 1}, {"when", "before"}, {"gpu", nullptr}, {"cpu", {{"throttle_events", 4}}}},
      {{"visit", 1},
       {"when", "after"},
       {"gpu", {{"throttled_by", {"sw_power_cap"}}}},
       {"cpu", {{"throttle_events", 5}}}}};
  EXPECT_THAT(bench_reading(runs), Contains(AllOf(HasSubstr("sw_power_cap"),
                                                  HasSubstr("the CPU's thermal throttling"))));
  runs.candidate.device_state[1] = {
      {"visit", 1}, {"when", "after"}, {"gpu", nullptr}, {"cpu", {{"throttle_events", 4}}}};
  EXPECT_THAT(bench_reading(runs), Not(Contains(HasSubstr("throttled"))));
}

TEST(BenchReport, SaysWhenArithmeticIsEmulated) {
  BenchRuns runs = faster();
  runs.candidate.description["arithmetic"] = {{"real", 4}, {"emulated", 6}};
  EXPECT_THAT(bench_reading(runs), Contains(HasSubstr("6 of the candidate's layers")));
}

TEST(BenchReport, SaysWhenNothingWasWarmedUp) {
  BenchRuns runs = faster();
  EXPECT_THAT(bench_reading(runs), Not(Contains(HasSubstr("warmed up"))));
  runs.reference.runs[0].perf.settings["warmup_runs"] = 0;
  EXPECT_THAT(bench_reading(runs), Contains(HasSubstr("nothing was warmed up")));
}

TEST(BenchReport, SaysWhenOtherWorkRan) {
  BenchRuns runs = faster();
  const auto state = [](const char* when, double total, double busy, double own) {
    return Json{{"visit", 2},
                {"when", when},
                {"gpu", nullptr},
                {"cpu", {{"processor_seconds", {{"total", total}, {"busy", busy}, {"own", own}}}}}};
  };
  runs.reference.device_state = {state("before", 100, 10, 5), state("after", 120, 27, 16)};
  EXPECT_THAT(bench_reading(runs), Not(Contains(HasSubstr("other work")))) << "not on a CPU";
  runs.reference.runs[0].perf.settings["device"] = "cpu";
  EXPECT_THAT(bench_reading(runs),
              Contains("other work took 30 % of the processors' time during visit 3"));
  runs.reference.device_state = {state("before", 100, 10, 5), state("after", 120, 27, 21.5)};
  EXPECT_THAT(bench_reading(runs), Not(Contains(HasSubstr("other work")))) << "2.5 %";
}

TEST(BenchReport, EqualCheckpointsMeasureNoise) {
  BenchRuns runs = faster();
  runs.differing.clear();
  EXPECT_THAT(bench_reading(runs), Contains(HasSubstr("the noise of this machine")));
}

}  // namespace
}  // namespace ditq
