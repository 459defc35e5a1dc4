#include "perf/comparison.h"

#include <gtest/gtest.h>

#include "perf/perf_files.h"

namespace ditq {
namespace {

using test::perf_of;
using test::sglang_document;

TEST(PerfComparison, WholeRunsChangeBeyondTwoPercent) {
  EXPECT_EQ(end_to_end_change(1000, 1020), Change::similar);
  EXPECT_EQ(end_to_end_change(1000, 1020.01), Change::worse);
  EXPECT_EQ(end_to_end_change(1000, 980), Change::similar);
  EXPECT_EQ(end_to_end_change(1000, 979.99), Change::better);
  EXPECT_EQ(end_to_end_change(0, 500), Change::similar) << "0 changes by 0 %";
}

TEST(PerfComparison, StagesChangeBeyondTenPercentAnd120Milliseconds) {
  // Below 1200 ms the absolute bar is the wider one, above it the relative one.
  EXPECT_EQ(stage_change(1000, 1120), Change::similar);
  EXPECT_EQ(stage_change(1000, 1120.5), Change::worse);
  EXPECT_EQ(stage_change(1000, 880), Change::similar);
  EXPECT_EQ(stage_change(1000, 879.5), Change::better);
  EXPECT_EQ(stage_change(2000, 2199.9), Change::similar);
  EXPECT_EQ(stage_change(2000, 2200.5), Change::worse);
  EXPECT_EQ(stage_change(2000, 1800.5), Change::similar);
  EXPECT_EQ(stage_change(2000, 1799.5), Change::better);
  EXPECT_EQ(stage_change(100, 0), Change::similar) << "a short stage cannot improve by 120 ms";
}

TEST(PerfComparison, DenoisingIsTheSumOfItsStages) {
  Json document = sglang_document();
  document["steps"].push_back({{"name", "VideoRefinementStage"}, {"duration_ms", 40}});
  document["steps"].push_back({{"name", "BeforeDenoisingStage"}, {"duration_ms", 1000}});
  document["steps"].push_back({{"name", "DenoisingStageTwo"}, {"duration_ms", 1000}});
  EXPECT_EQ(parts_of(perf_of(document)).denoise_ms, 640);
}

TEST(PerfComparison, DenoisingFallsBackToItsSteps) {
  Json document = sglang_document();
  document["steps"] = {{{"name", "BeforeDenoisingStage"}, {"duration_ms", 9}}};
  EXPECT_EQ(parts_of(perf_of(document)).denoise_ms, 400);
  document["denoise_steps_ms"] = Json::array();
  document["steps"] = {{{"name", "denoising_step_0"}, {"duration_ms", 9}}};
  EXPECT_EQ(parts_of(perf_of(document)).denoise_ms, 9);
}

TEST(PerfComparison, PartsAddUpToTheRun) {
  const PerfParts parts = parts_of(perf_of(sglang_document()));
  EXPECT_EQ(parts.text_ms, 200);
  EXPECT_EQ(parts.decode_ms, 150);
  EXPECT_EQ(parts.other_ms, 50);
}

TEST(PerfComparison, SetsStagesSideBySideInTheCandidatesOrder) {
  Json candidate = sglang_document();
  candidate["total_duration_ms"] = 800;
  candidate["steps"] = {{{"name", "NewStage"}, {"duration_ms", 1}},
                        {{"name", "DenoisingStage"}, {"duration_ms", 400}}};
  const PerfComparison pair = compare_perf(perf_of(sglang_document()), perf_of(candidate));
  EXPECT_EQ(pair.change, Change::better);
  EXPECT_EQ(pair.baseline_peak_gb, 2.0);
  ASSERT_EQ(pair.stages.size(), 5U);
  EXPECT_EQ(pair.stages[0].name, "NewStage");
  EXPECT_EQ(pair.stages[0].baseline_entries, 0U);
  EXPECT_EQ(pair.stages[1].change, Change::better);
  EXPECT_EQ(pair.stages[2].name, "InputValidationStage");
  EXPECT_EQ(pair.stages[2].candidate_entries, 0U);
  EXPECT_EQ(pair.stages[3].change, Change::better) << "200 ms are gone";
  const Json document = to_json(pair);
  EXPECT_EQ(document["end_to_end"]["status"], "better");
  EXPECT_EQ(document["end_to_end"]["change_percent"], -20.0);
  EXPECT_TRUE(document["stages"][0]["change_percent"].is_null());
}

}  // namespace
}  // namespace ditq
