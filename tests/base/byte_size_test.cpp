#include "base/byte_size.h"

#include <gtest/gtest.h>

namespace ditq {
namespace {

TEST(ByteSize, ReadsUnitsOfBothKinds) {
  EXPECT_EQ(parse_byte_size("0"), 0U);
  EXPECT_EQ(parse_byte_size("1048576"), 1048576U);
  EXPECT_EQ(parse_byte_size("12B"), 12U);
  EXPECT_EQ(parse_byte_size("1k"), 1000U);
  EXPECT_EQ(parse_byte_size("1KiB"), 1024U);
  EXPECT_EQ(parse_byte_size("512MiB"), 512U << 20);
  EXPECT_EQ(parse_byte_size("1.5 GB"), 1'500'000'000U);
  EXPECT_EQ(parse_byte_size("2tib"), std::uint64_t{2} << 40);
}

TEST(ByteSize, RefusesEverythingElse) {
  for (const char* text : {"", " ", "-1", "GB", "1 XB", "1GBs", "1e3", "0x10", "1,5GB", "nan",
                           "inf", "1ib", "1 G B", "9223372036854775808", "99999999TB"}) {
    EXPECT_FALSE(parse_byte_size(text)) << text;
  }
}

}  // namespace
}  // namespace ditq
