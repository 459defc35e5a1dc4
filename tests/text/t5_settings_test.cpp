// Variants of T5's tokenizer.json that pipelines in the field have, on a vocabulary of a few
// pieces.
#include <fstream>

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/json.h"
#include "support/paths.h"
#include "text/tokenizer.h"

namespace ditq {
namespace {

using Ids = std::vector<std::int64_t>;

/// Expected ids below are what tokenizers 0.23.3 gives for the same file. pad 0, eos 1, unk 2, "▁"
/// 3, "a" 4, "b" 5, "▁a" 6, "ab" 7, "c" 8.
Json small_file() {
  return Json::parse(R"({
    "added_tokens": [{"id": 0, "content": "<pad>"}, {"id": 1, "content": "</s>"},
                     {"id": 2, "content": "<unk>"}],
    "normalizer": null,
    "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always"},
    "post_processor": {"type": "TemplateProcessing",
      "single": [{"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "</s>"}}],
      "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}}},
    "model": {"type": "Unigram", "unk_id": 2, "vocab": [["<pad>", 0.0], ["</s>", 0.0],
      ["<unk>", 0.0], ["\u2581", -2.0], ["a", -3.0], ["b", -3.0], ["\u2581a", -2.5],
      ["ab", -4.0], ["c", -5.0]]}})");
}

Ids encode(const Json& file, const std::string& text) {
  const test::TemporaryFolder folder;
  std::ofstream(folder / "tokenizer.json") << file.dump();
  return load_t5_tokenizer(folder.path())->encode(text, 0, /*pad=*/false).ids;
}

TEST(T5Settings, PutsASpaceInFrontAsTheSchemeSays) {
  Json file = small_file();
  Json& metaspace = file["pre_tokenizer"];
  EXPECT_EQ(encode(file, "a</s>a"), (Ids{6, 1, 6, 1}));
  metaspace["prepend_scheme"] = "first";
  EXPECT_EQ(encode(file, "a</s>a"), (Ids{6, 1, 4, 1}));
  EXPECT_EQ(encode(file, "</s>a"), (Ids{1, 4, 1}));
  metaspace["prepend_scheme"] = "never";
  EXPECT_EQ(encode(file, "a a"), (Ids{4, 6, 1}));
}

TEST(T5Settings, ReadsOldFilesThatSayAddPrefixSpace) {
  Json file = small_file();
  file["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "\u2581"}};
  file["pre_tokenizer"]["add_prefix_space"] = true;
  EXPECT_EQ(encode(file, "a"), (Ids{6, 1}));
  // What the library answers: add_prefix_space does not match declared prepend_scheme.
  file["pre_tokenizer"]["add_prefix_space"] = false;
  EXPECT_THROW(encode(file, "a"), Error);
}

TEST(T5Settings, FusesAdjacentUnknownCharacters) {
  EXPECT_EQ(encode(small_file(), "xyz"), (Ids{3, 2, 1}));
  EXPECT_EQ(encode(small_file(), "xay"), (Ids{3, 2, 4, 2, 1}));
}

TEST(T5Settings, TheFirstOfEqualPathsWins) {
  Json file = small_file();
  file["pre_tokenizer"]["prepend_scheme"] = "never";
  // a+b = -6 and ab = -4: one piece. With ab = -6 both are equal; the one found first, from the
  // left, is "ab".
  EXPECT_EQ(encode(file, "ab"), (Ids{7, 1}));
  file["model"]["vocab"][7][1] = -6.0;
  EXPECT_EQ(encode(file, "ab"), (Ids{7, 1}));
  file["model"]["vocab"][7][1] = -6.5;
  EXPECT_EQ(encode(file, "ab"), (Ids{4, 5, 1}));
}

TEST(T5Settings, AddedTokensTakeWhiteSpaceAlongWhereTheySaySo) {
  Json file = small_file();
  file["added_tokens"].push_back({{"id", 9}, {"content", "<x>"}});
  EXPECT_EQ(encode(file, "a <x> a"), (Ids{6, 3, 9, 6, 1}));
  file["added_tokens"][3]["lstrip"] = true;
  EXPECT_EQ(encode(file, "a <x> a"), (Ids{6, 9, 6, 1}));
  file["pre_tokenizer"]["prepend_scheme"] = "first";
  file["added_tokens"][3]["rstrip"] = true;
  EXPECT_EQ(encode(file, "a <x> a"), (Ids{6, 9, 4, 1}));
}

TEST(T5Settings, TheLongestAddedTokenWins) {
  Json file = small_file();
  file["added_tokens"].push_back({{"id", 9}, {"content", "ca"}});
  file["added_tokens"].push_back({{"id", 10}, {"content", "cab"}});
  EXPECT_EQ(encode(file, "acabca"), (Ids{6, 10, 9, 1}));
}

TEST(T5Settings, NormalizedTokensAreFoundAfterNormalization) {
  Json file = small_file();
  file["normalizer"] = Json::parse(
      R"([{"type": "Strip", "strip_left": false, "strip_right": true},
          {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "\u2581"}])");
  file["normalizer"] = {{"type", "Sequence"}, {"normalizers", file["normalizer"]}};
  file["added_tokens"].push_back({{"id", 9}, {"content", "b\u2581b"}, {"normalized", true}});
  EXPECT_EQ(encode(file, "b   b  "), (Ids{9, 1}));
  EXPECT_EQ(encode(file, "b b  "), (Ids{3, 5, 3, 5, 1}));
}

}  // namespace
}  // namespace ditq
