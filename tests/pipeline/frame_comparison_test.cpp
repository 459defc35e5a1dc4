#include "pipeline/frame_comparison.h"

#include <cmath>

#include <gtest/gtest.h>

#include "pipeline/metrics.h"
#include "pipeline/ssim.h"
#include "support/pictures.h"

namespace ditq {
namespace {

using test::rule_picture;

OutputMetrics compared(std::int64_t frames, std::int64_t max_stack) {
  FrameComparison comparison({}, max_stack);
  for (std::int64_t i = 0; i < frames; ++i) {
    comparison.add(rule_picture(20, 9, i), rule_picture(20, 9, i + 1));
  }
  return comparison.finish();
}

TEST(FrameComparison, IsSglangsOnTheStackOfAFewFrames) {
  std::vector<Tensor> references;
  std::vector<Tensor> candidates;
  for (std::int64_t i = 0; i < 5; ++i) {
    references.push_back(frame_tensor(rule_picture(20, 9, i)));
    candidates.push_back(frame_tensor(rule_picture(20, 9, i + 1)));
  }
  const OutputMetrics expected = output_metrics(references, candidates);
  const OutputMetrics found = compared(5, kMaxStack);
  EXPECT_EQ(dump_json(to_json(found)), dump_json(to_json(expected)));
  EXPECT_EQ(found.ssim.size(), 5);
  EXPECT_TRUE(found.clip.empty());
}

TEST(FrameComparison, SumsLongVideosWithoutKeepingThem) {
  const OutputMetrics exact = compared(5, kMaxStack);
  // The third frame is one too many.
  const OutputMetrics found = compared(5, 2 * 20 * 9 * 3);
  ASSERT_EQ(found.frames.size(), 5);
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(dump_json(to_json(found.frames[i])), dump_json(to_json(exact.frames[i]))) << i;
  }
  // Roundings of f32 sums of 2700 values.
  const auto near = [](double ours, double theirs) { EXPECT_NEAR(ours, theirs, 1e-6 * theirs); };
  near(found.all_frames.cosine_similarity, exact.all_frames.cosine_similarity);
  near(found.all_frames.mae, exact.all_frames.mae);
  near(found.all_frames.mse, exact.all_frames.mse);
  near(found.all_frames.rmse, exact.all_frames.rmse);
  near(found.all_frames.l2, exact.all_frames.l2);
  near(found.all_frames.psnr_db, exact.all_frames.psnr_db);
  EXPECT_EQ(found.all_frames.max_abs, exact.all_frames.max_abs);
  EXPECT_EQ(found.ssim, exact.ssim);
}

TEST(FrameComparison, LeavesSsimOutOfSmallPictures) {
  FrameComparison comparison({});
  comparison.add(rule_picture(30, 6), rule_picture(30, 6));
  const OutputMetrics found = comparison.finish();
  EXPECT_TRUE(found.ssim.empty());
  EXPECT_TRUE(std::isinf(found.frames.front().psnr_db));
}

TEST(FrameComparison, AsksForAFigureOfEveryPair) {
  FrameComparison comparison([](const Picture& a, const Picture& b) {
    return static_cast<double>(a.pixels[0] + b.pixels[0]);
  });
  comparison.add(rule_picture(8, 8, 1), rule_picture(8, 8, 2));
  comparison.add(rule_picture(8, 8, 2), rule_picture(8, 8, 3));
  EXPECT_EQ(comparison.finish().clip.size(), 2);
}

/// Values of scikit-image 0.26.
TEST(Ssim, IsScikitImagesOnGeneratedPictures) {
  struct Recorded {
    std::int64_t width, height;
    double other, shifted, pixel;
  };
  for (const Recorded& expected :
       {Recorded{7, 7, 0.6367424729662248, 0.8275704106746415, 0.9268587989647421},
        Recorded{8, 7, 0.637162841883121, 0.8788356331372981, 0.9475386985962455},
        Recorded{7, 31, 0.4706527078845239, 0.6376903394256838, 0.9722873584214934},
        Recorded{40, 23, 0.13568470851318973, 0.6298850530775653, 0.9958577095298288},
        Recorded{64, 64, 0.10362921450367561, 0.5433935221552021, 0.9983325823861153}}) {
    const Picture reference = rule_picture(expected.width, expected.height);
    Picture shifted = reference;
    Picture pixel = reference;
    for (std::int64_t y = 0; y < expected.height; ++y) {
      auto* row = shifted.pixels.data() + y * expected.width * 3;
      std::rotate(row, row + (expected.width - 1) * 3, row + expected.width * 3);
    }
    for (std::int64_t c = 0; c < 3; ++c) {
      auto& value = pixel.pixels[static_cast<std::size_t>(
          (expected.height / 2 * expected.width + expected.width / 2) * 3 + c)];
      value = static_cast<std::uint8_t>(255 - value);
    }
    // Sums are exact here and rounded there.
    constexpr double kRounding = 1e-9;
    EXPECT_NEAR(ssim(reference, rule_picture(expected.width, expected.height, 3)), expected.other,
                kRounding);
    EXPECT_NEAR(ssim(reference, shifted), expected.shifted, kRounding);
    EXPECT_NEAR(ssim(reference, pixel), expected.pixel, kRounding);
  }
  EXPECT_NEAR(ssim(test::flat_picture(9, 0, 0, 0), test::flat_picture(9, 255, 255, 255)),
              9.999000099990003e-05, 1e-12);
}

}  // namespace
}  // namespace ditq
