#include "text/lossy_float.h"

#include <cmath>
#include <cstdlib>
#include <string>

#include <gtest/gtest.h>

namespace ditq {
namespace {

// Expected values: what tokenizers 0.23.3 prints for a Unigram vocabulary with that score.
TEST(LossyFloat, DividesTheDigitsByAPowerOfTen) {
  EXPECT_EQ(parse_lossy_float("-2.0122928619384766"), -(20122928619384766.0 / 1e16));
  EXPECT_EQ(parse_lossy_float("0.0"), 0.0);
  EXPECT_EQ(parse_lossy_float("-12"), -12.0);
  EXPECT_EQ(parse_lossy_float("1.5e3"), 1500.0);
  EXPECT_EQ(parse_lossy_float("25E-1"), 2.5);
}

TEST(LossyFloat, DiffersFromACorrectlyRoundedParseInTheLastPlace) {
  const std::string text = "2.0122928619384766";  // T5's score of the bare space, without its sign
  EXPECT_EQ(parse_lossy_float(text), std::nextafter(std::strtod(text.c_str(), nullptr), 3.0));
}

TEST(LossyFloat, IgnoresDigitsBeyond64BitsBehindThePoint) {
  EXPECT_EQ(parse_lossy_float("0.123456789012345678901234567890"), 12345678901234567890.0 / 1e20);
}

TEST(LossyFloat, CountsDigitsBeyond64BitsBeforeThePoint) {
  EXPECT_EQ(parse_lossy_float("184467440737095516159"), 18446744073709551615.0 * 10.0);
}

TEST(LossyFloat, VanishesBelowAndFailsAboveTheRangeOfDouble) {
  EXPECT_EQ(parse_lossy_float("1e-400"), 0.0);
  EXPECT_EQ(parse_lossy_float("1e400"), std::nullopt);
  EXPECT_EQ(parse_lossy_float("0e99999999999"), 0.0);
  EXPECT_EQ(parse_lossy_float("1e-99999999999"), 0.0);
}

TEST(LossyFloat, RejectsWhatJsonDoes) {
  for (const char* text : {"", "-", "01", "1.", ".5", "+1", "1e", "1e+", "NaN", "0x1", "1 "}) {
    EXPECT_EQ(parse_lossy_float(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace ditq
