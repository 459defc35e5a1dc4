#include "seeds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace ditq {
namespace {

using testing::ElementsAre;

TEST(Seeds, AreNumbersAndRanges) {
  EXPECT_THAT(parse_seeds("7"), ElementsAre(7));
  EXPECT_THAT(parse_seeds("3,1,2"), ElementsAre(3, 1, 2));
  EXPECT_THAT(parse_seeds("0-3"), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(parse_seeds("9,2-4,18446744073709551615"),
              ElementsAre(9, 2, 3, 4, 18446744073709551615U));
  EXPECT_THAT(parse_seeds("18446744073709551615-18446744073709551615").size(), 1);
}

TEST(Seeds, RefuseWhatIsNoList) {
  for (const char* text :
       {"", ",", "1,", ",1", "a", "1-", "-1", "3-1", "1,,2", "1 2", "1-2-3", "1,1", "0-3,2",
        "0-10000", "0-18446744073709551615", "18446744073709551616", "1.5", "+1"}) {
    EXPECT_THROW(parse_seeds(text), Error) << text;
  }
  EXPECT_EQ(parse_seeds("0-9999").size(), 10000);
}

}  // namespace
}  // namespace ditq
