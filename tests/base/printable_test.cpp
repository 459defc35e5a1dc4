#include "base/printable.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace ditq {
namespace {

TEST(Printable, SpellsOutWhatDrivesATerminal) {
  EXPECT_EQ(printable("a\x1b[31m\r\b\x7f z"), "a\\x1b[31m\\x0d\\x08\\x7f z");
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(printable("\u0085\u009b"), "\\x85\\x9b");
}

TEST(Printable, LeavesTextAlone) {
  const std::string text = "transformer.0\n\t\u00e9\u00a0\u4e2d\U0001F600";
  EXPECT_EQ(printable(text), text);
}

TEST(Printable, CutsBetweenCharacters) {
  EXPECT_EQ(printable("abc", 3), "abc");
  EXPECT_EQ(printable("abcd", 3), "abc\u2026");
  EXPECT_EQ(printable("a\u4e2d", 2), "a\u2026");
  EXPECT_EQ(printable("a\u4e2d", 3), "a\u2026");
}

TEST(Printable, AnErrorSaysEverythingWhateverTheNamesHold) {
  const Error error(
      ErrorCode::bad_offsets, "sentence",
      {.path = "x.safetensors", .tensor = std::string("a\0\x1b[2J", 6), .advice = "Advice"});
  EXPECT_STREQ(error.what(), "sentence: tensor 'a\\x00\\x1b[2J' (x.safetensors). Advice");
  const Error long_name(ErrorCode::bad_offsets, "sentence",
                        {.path = "x.safetensors", .tensor = std::string(5'000'000, 'x')});
  EXPECT_LT(std::string_view(long_name.what()).size(), 1100U);
  EXPECT_TRUE(std::string_view(long_name.what()).ends_with("(x.safetensors)"));
}

}  // namespace
}  // namespace ditq
