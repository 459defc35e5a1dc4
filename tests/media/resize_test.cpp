#include "media/resize.h"

#include <numeric>

#include <gtest/gtest.h>

#include "support/pictures.h"

namespace ditq {
namespace {

/// Values of Pillow 12's Image.resize(BICUBIC).
TEST(Resize, GivesPillowsBytes) {
  struct Recorded {
    std::int64_t width, height, new_width, new_height, weighted, sum;
  };
  for (const Recorded& expected :
       {Recorded{20, 13, 7, 9, 2694952, 27069}, Recorded{5, 4, 16, 11, 4114556, 33090},
        Recorded{33, 8, 33, 4, 5772241, 52635}, Recorded{64, 48, 32, 24, 35470595, 286679}}) {
    const Picture found = resize_bicubic(test::rule_picture(expected.width, expected.height),
                                         expected.new_width, expected.new_height);
    EXPECT_EQ(found.width, expected.new_width);
    EXPECT_EQ(found.height, expected.new_height);
    EXPECT_EQ(std::accumulate(found.pixels.begin(), found.pixels.end(), std::int64_t{0}),
              expected.sum);
    EXPECT_EQ(test::weighted_sum(found), expected.weighted);
  }
}

TEST(Resize, CropsTheMiddle) {
  const Picture picture = test::rule_picture(9, 8);
  const Picture found = center_crop(picture, 4, 5);
  ASSERT_EQ(found.pixels.size(), 60);
  // Column 2 of row 1: halves go to the upper left.
  EXPECT_EQ(found.pixels[0], picture.pixels[(1 * 9 + 2) * 3]);
  EXPECT_EQ(center_crop(picture, 9, 8).pixels, picture.pixels);
}

}  // namespace
}  // namespace ditq
