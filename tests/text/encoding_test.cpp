// What every tokenizer does around its algorithm: limits, padding, messages.
#include <fstream>

#include <gtest/gtest.h>

#include "base/error.h"
#include "support/paths.h"
#include "text/golden.h"
#include "text/tokenizer.h"

namespace ditq {
namespace {

using Ids = std::vector<std::int64_t>;

std::unique_ptr<const Tokenizer> tiny_clip() {
  return load_tokenizer((test::tiny_flux() / "tokenizer").string());
}

std::unique_ptr<const Tokenizer> tiny_t5() {
  return load_tokenizer((test::tiny_flux() / "tokenizer_2").string());
}

ErrorCode code_of(const Tokenizer& tokenizer, std::string_view text, std::int64_t limit, bool pad) {
  try {
    tokenizer.encode(text, limit, pad);
  } catch (const Error& error) {
    return error.code();
  }
  return ErrorCode::interrupted;
}

TEST(Encoding, KnowsTheBundledPipelinesFacts) {
  const TokenizerFacts clip = tiny_clip()->facts();
  EXPECT_EQ(clip.kind, "clip");
  EXPECT_EQ(clip.prefix, Ids{612});
  EXPECT_EQ(clip.eos_id, 613);
  EXPECT_EQ(clip.pad_id, 613);
  EXPECT_EQ(clip.unk_id, 613);
  EXPECT_EQ(clip.vocab_size, 614);
  EXPECT_EQ(clip.model_max_length, 77);
  const TokenizerFacts t5 = tiny_t5()->facts();
  EXPECT_EQ(t5.kind, "t5");
  EXPECT_TRUE(t5.prefix.empty());
  EXPECT_EQ(t5.eos_id, 1);
  EXPECT_EQ(t5.pad_id, 0);
  EXPECT_EQ(t5.unk_id, 2);
  EXPECT_EQ(t5.vocab_size, 153);
  EXPECT_EQ(t5.model_max_length, 512);
}

TEST(Encoding, CutsTheEndOffAndKeepsTheEndToken) {
  const auto clip = tiny_clip();
  const std::string text = "a large red circle on a navy background";
  const Ids whole = clip->encode(text, 0, /*pad=*/false).ids;
  const Encoding cut = clip->encode(text, 6, /*pad=*/true);
  Ids expected(whole.begin(), whole.begin() + 5);
  expected.push_back(clip->facts().eos_id);
  EXPECT_EQ(cut.ids, expected);
  EXPECT_EQ(cut.length, 6);
  EXPECT_EQ(cut.untruncated_length, static_cast<std::int64_t>(whole.size()));
  EXPECT_TRUE(cut.truncated);
  EXPECT_EQ(cut.dropped, "on a navy background");
}

TEST(Encoding, SaysWhatT5DroppedAsDiffusersWarns) {
  const Encoding cut = tiny_t5()->encode("a large red circle on a navy background", 4, false);
  EXPECT_TRUE(cut.truncated);
  EXPECT_EQ(cut.length, 4);
  // diffusers 0.39 with transformers 5.17: batch_decode(untruncated_ids[:, 3:-1]).
  EXPECT_EQ(cut.dropped, "circle on a navy background");
}

TEST(Encoding, LeavesTextOfExactlyTheLimitWhole) {
  const auto clip = tiny_clip();
  const Ids whole = clip->encode("red circle", 0, /*pad=*/false).ids;
  const Encoding fits =
      clip->encode("red circle", static_cast<std::int64_t>(whole.size()), /*pad=*/true);
  EXPECT_EQ(fits.ids, whole);
  EXPECT_FALSE(fits.truncated);
  EXPECT_EQ(fits.dropped, "");
}

TEST(Encoding, PadsUpToTheLimit) {
  const Encoding padded = tiny_t5()->encode("red", 5, /*pad=*/true);
  EXPECT_EQ(padded.length, 2);
  EXPECT_EQ(padded.ids.size(), 5U);
  EXPECT_EQ(padded.ids.back(), 0);
  const Encoding clip = tiny_clip()->encode("red", 5, /*pad=*/true);
  EXPECT_EQ(clip.length, 3);
  EXPECT_EQ(clip.ids.back(), 613);
}

TEST(Encoding, RejectsTextThatIsNotUtf8) {
  EXPECT_EQ(code_of(*tiny_clip(), "\xC3", 77, true), ErrorCode::bad_text);
  EXPECT_EQ(code_of(*tiny_t5(), "red \xED\xA0\x80", 77, true), ErrorCode::bad_text);
}

TEST(Encoding, RejectsLimitsWithoutRoomForTheSpecialTokens) {
  EXPECT_EQ(code_of(*tiny_clip(), "red", 1, false), ErrorCode::usage);
  EXPECT_EQ(code_of(*tiny_clip(), "red", -3, false), ErrorCode::usage);
  EXPECT_EQ(code_of(*tiny_t5(), "red", 0, true), ErrorCode::usage);
  EXPECT_EQ(tiny_clip()->encode("red", 2, false).ids, (Ids{612, 613}));
  EXPECT_EQ(tiny_t5()->encode("red", 1, false).ids, Ids{1});
}

TEST(Encoding, TheSlowT5ClassAddsNoSecondEndToken) {
  const test::TemporaryFolder folder;
  test::copy_files(test::tiny_flux() / "tokenizer_2", folder.path(), {"spiece.model"});
  std::ofstream(folder / "tokenizer_config.json") << R"({"extra_ids": 0})";
  const auto slow = load_t5_tokenizer(folder.path());
  const Ids ids = slow->encode("red</s>", 0, false).ids;
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 1), 1);
  EXPECT_EQ(slow->encode("red</s>", 2, false).ids, (Ids{ids[0], 1}));
}

TEST(Encoding, AMegabyteOfAnythingIsFinished) {
  const auto clip = tiny_clip();
  const auto t5 = tiny_t5();
  constexpr std::size_t kSize = 1 << 20;
  for (const std::string unit : {"a", "<", " ", "-", "red ", "\u0302\u0323", "\u4E00", "'"}) {
    std::string text;
    while (text.size() < kSize) text += unit;
    EXPECT_EQ(clip->encode(text, 77, true).ids.size(), 77U) << unit;
    EXPECT_EQ(t5->encode(text, 512, true).ids.size(), 512U) << unit;
  }
}

TEST(Encoding, DecodingAnIdOutsideTheVocabularyIsAnError) {
  for (const std::int64_t id : {std::int64_t{-1}, std::int64_t{614}, std::int64_t{1} << 40}) {
    EXPECT_THROW(tiny_clip()->decode(std::vector{id}), Error) << id;
    EXPECT_THROW(tiny_t5()->decode(std::vector{id}), Error) << id;
  }
}

}  // namespace
}  // namespace ditq
