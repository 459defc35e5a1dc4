#include "perf/samples.h"

#include <gtest/gtest.h>

namespace ditq {
namespace {

TEST(Samples, SummarizeWhatWasMeasured) {
  const Sample even = summarize({4, 1, 3, 2});
  EXPECT_EQ(even.median, 2.5);
  EXPECT_EQ(even.least, 1);
  EXPECT_EQ(even.most, 4);
  EXPECT_EQ(even.mean, 2.5);
  EXPECT_EQ(even.spread(), 1.2);
  EXPECT_EQ(summarize({5, 1, 2}).median, 2);
  EXPECT_EQ(summarize({0}).spread(), 0);
}

TEST(Samples, FewRunsGiveTheWidestInterval) {
  // Of the C(4, 2) = 6 orders of two and two values, one has U = 0: 1 - 2/6.
  const auto found = speedup({10, 12}, {5, 6});
  ASSERT_TRUE(found);
  EXPECT_DOUBLE_EQ(found->ratio, 2);
  EXPECT_DOUBLE_EQ(found->low, 10.0 / 6);
  EXPECT_DOUBLE_EQ(found->high, 12.0 / 5);
  EXPECT_NEAR(found->confidence, 1 - 2.0 / 6, 1e-12);  // rounding of a quotient
  EXPECT_FALSE(found->is_within_spread());
}

TEST(Samples, TheIntervalFollowsTheRankDistribution) {
  // R: 1 - 2 * pwilcox(0, 4, 4) = 0.9714286; qwilcox gives U <= 13 for 8 and 8: 1 - 2 * pwilcox(13, 8, 8) = 0.9501.
  EXPECT_NEAR(speedup({1, 2, 3, 4}, {1, 2, 3, 4})->confidence, 0.9714286, 1e-6);
  const std::vector<double> eight = {1, 2, 3, 4, 5, 6, 7, 8};
  const auto found = speedup(eight, eight);
  EXPECT_NEAR(found->confidence, 0.9501, 1e-4);
  EXPECT_GT(found->low, 1.0 / 8) << "outliers no longer decide";
  EXPECT_TRUE(found->is_within_spread());
}

TEST(Samples, ManyRunsTakeTheNormalApproximation) {
  // 41 * 41 pairs lie beyond the exact count, 40 * 40 below it: the intervals must meet.
  const auto ramp = [](int count) {
    std::vector<double> out;
    for (int i = 0; i < count; ++i) out.push_back(100 + 100.0 * i / (count - 1));
    return out;
  };
  const auto exact = speedup(ramp(40), ramp(40));
  const auto normal = speedup(ramp(41), ramp(41));
  EXPECT_NEAR(exact->low, normal->low, 0.01);  // one value more
  EXPECT_NEAR(exact->high, normal->high, 0.01);
}

TEST(Samples, AStageThatTookNoTimeHasNoRatio) {
  EXPECT_FALSE(speedup({0, 1}, {1, 1}));
  EXPECT_FALSE(speedup({1}, {0}));
  EXPECT_TRUE(to_json(speedup({1}, {0})).is_null());
}

}  // namespace
}  // namespace ditq
