#include "text/added_tokens.h"

#include <gtest/gtest.h>

namespace ditq {
namespace {

/// The ids that a text is split in; -1 for what stands between tokens.
std::vector<std::int64_t> ids_of(const std::vector<AddedToken>& tokens, const std::string& text) {
  std::vector<std::int64_t> ids;
  for (const TextPart& part : AddedTokenMatcher(tokens, StripRule::white_space).split(text)) {
    ids.push_back(part.id.value_or(-1));
  }
  return ids;
}

using Ids = std::vector<std::int64_t>;

TEST(AddedTokens, TheLongestThatFitsIsTaken) {
  const std::vector<AddedToken> tokens{{.content = "<", .id = 1},
                                       {.content = "<a>bcd", .id = 2},
                                       {.content = "<a>", .id = 3},
                                       {.content = "<a>b", .id = 4},
                                       {.content = "<b", .id = 5}};
  EXPECT_EQ(ids_of(tokens, "<a>bc"), (Ids{4, -1}));
  EXPECT_EQ(ids_of(tokens, "<a>bcd<a"), (Ids{2, 1, -1}));
  EXPECT_EQ(ids_of(tokens, "x<b<a>"), (Ids{-1, 5, 3}));
  EXPECT_EQ(ids_of(tokens, ""), Ids{});
}

TEST(AddedTokens, TheFirstOfEqualOnesCountsAndAnEmptyOneNever) {
  const std::vector<AddedToken> tokens{
      {.content = "", .id = 1}, {.content = "t", .id = 2}, {.content = "t", .id = 3}};
  EXPECT_EQ(ids_of(tokens, "at"), (Ids{-1, 2}));
}

TEST(AddedTokens, BytesBeyondAsciiAreOrderedAsTheyAreFound) {
  const std::vector<AddedToken> tokens{{.content = "\u00e9", .id = 1},
                                       {.content = "e", .id = 2},
                                       {.content = "\U0001F600", .id = 3}};
  EXPECT_EQ(ids_of(tokens, "\U0001F600e\u00e9"), (Ids{3, 2, 1}));
}

}  // namespace
}  // namespace ditq
