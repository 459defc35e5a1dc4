#include "base/regex.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace ditq {
namespace {

TEST(Regex, SearchesAnywhere) {
  EXPECT_TRUE(Regex("attn\\.to_q$").search("transformer_blocks.0.attn.to_q"));
  EXPECT_FALSE(Regex("^attn").search("transformer_blocks.0.attn.to_q"));
}

TEST(Regex, FullMatchNeedsTheWholeText) {
  EXPECT_TRUE(Regex("a.*").full_match("abc"));
  EXPECT_FALSE(Regex("b").full_match("abc"));
  EXPECT_TRUE(Regex("a|abc").full_match("abc"));
}

TEST(Regex, DollarMatchesBeforeAFinalNewlineAndBackslashZDoesNot) {
  EXPECT_TRUE(Regex("a$").search("a\n"));
  EXPECT_FALSE(Regex("a\\Z").search("a\n"));
  EXPECT_TRUE(Regex("a\\\\Z").search("a\\Z"));
}

TEST(Regex, ReplacesGroups) {
  const Regex rule("^transformer_blocks\\.(\\d+)\\.norm1\\.linear$");
  EXPECT_EQ(rule.replace("transformer_blocks.12.norm1.linear", "double_blocks.\\1.img_mod.linear"),
            "double_blocks.12.img_mod.linear");
  EXPECT_EQ(rule.replace("x", "y"), "x");
  EXPECT_EQ(Regex("(a)(x)?").replace("ab", "[\\1\\2]"), "[a]b");
}

TEST(Regex, NamesThePositionOfAnError) {
  try {
    Regex("a(b");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::bad_pattern);
    EXPECT_NE(std::string(error.what()).find("position 3"), std::string::npos) << error.what();
  }
}

TEST(Regex, EndsCatastrophicPatternsWithAnError) {
  const Regex pattern("^(a+)+$");
  EXPECT_THROW(pattern.search(std::string(64, 'a') + "!"), Error);
}

/// The code that a match raises.
ErrorCode match_error(const std::string& pattern, const std::string& text) {
  try {
    Regex(pattern).search(text);
  } catch (const Error& error) {
    return error.code();
  }
  return ErrorCode::usage;
}

TEST(Regex, SharesItsStepsAmongAllPositions) {
  // Below the limit at each of 1000 positions, far above it together.
  EXPECT_EQ(match_error("a*(?=a*c)", std::string(1000, 'a')), ErrorCode::pattern_too_costly);
  EXPECT_FALSE(Regex("a*(?=a*c)").search(std::string(100, 'a')));
}

TEST(Regex, ReplacesEmptyMatchesBetweenWholeCharacters) {
  // As Python's re.sub.
  EXPECT_EQ(Regex("x*").replace("\u00e9\u4e2d", "-"), "-\u00e9-\u4e2d-");
  EXPECT_EQ(Regex("").replace("ab", "-"), "-a-b-");
}

TEST(Regex, TextThatIsNotUtf8IsNotThePatternsFault) {
  EXPECT_EQ(match_error("a", "\xff"), ErrorCode::bad_text);
}

}  // namespace
}  // namespace ditq
