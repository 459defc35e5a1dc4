#include "pipeline/aggregate.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace ditq {
namespace {

RunMeasurements run_of(const std::vector<double>& cosines, const std::vector<double>& psnrs) {
  RunMeasurements out;
  out.trajectory.emplace();
  for (const double cosine : cosines) {
    out.trajectory->steps.emplace_back().cosine_similarity = cosine;
  }
  out.output.emplace();
  for (const double psnr : psnrs) out.output->frames.emplace_back().psnr_db = psnr;
  return out;
}

TEST(Aggregate, HasWorstCaseMeanAndConfidence) {
  const Json found = aggregate_json(
      {.runs = {run_of({1, 0.9}, {30, 32}), run_of({0.7, 0.95}, {28}), run_of({0.8, 0.8}, {35})}});
  const Json& cosine = found["cosine"];
  EXPECT_EQ(cosine["worst"], 0.7);
  EXPECT_EQ(cosine["worst_run"], 1);
  EXPECT_EQ(cosine["worst_step"], 0);
  EXPECT_EQ(cosine["runs"], 3);
  EXPECT_DOUBLE_EQ(cosine["mean"], 0.8);
  // Student's t at two degrees of freedom, times 0.1 / sqrt(3).
  EXPECT_NEAR(cosine["confidence_95"], 4.303 * 0.1 / std::sqrt(3.0), 1e-9);
  EXPECT_EQ(found["last.cosine"]["worst"], 0.8);
  EXPECT_EQ(found["psnr"]["worst"], 28);
  EXPECT_EQ(found["psnr"]["worst_frame"], 0);
  EXPECT_DOUBLE_EQ(found["psnr"]["mean"], 31);
  EXPECT_FALSE(found.contains("ssim"));
  EXPECT_FALSE(found.contains("last.psnr"));
}

TEST(Aggregate, OfOneRunHasNoConfidence) {
  EXPECT_TRUE(aggregate_json({.runs = {run_of({1}, {30})}})["psnr"]["confidence_95"].is_null());
}

TEST(Aggregate, OfEqualPicturesHasNone) {
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  const Json found = aggregate_json({.runs = {run_of({1}, {kInfinite}), run_of({1}, {40})}});
  EXPECT_EQ(found["psnr"]["mean"], kInfinite);
  EXPECT_EQ(found["psnr"]["worst"], 40);
  EXPECT_TRUE(found["psnr"]["confidence_95"].is_null());
}

TEST(Aggregate, CountsNanAsWorst) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  const Json found = aggregate_json({.runs = {run_of({0.1}, {30}), run_of({1, kNan}, {40})}});
  EXPECT_TRUE(std::isnan(found["cosine"]["worst"].get<double>()));
  EXPECT_EQ(found["cosine"]["worst_run"], 1);
  EXPECT_EQ(found["cosine"]["worst_step"], 1);
}

}  // namespace
}  // namespace ditq
