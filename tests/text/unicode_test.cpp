#include "text/unicode.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace ditq {
namespace {

TEST(Unicode, FindsTheFirstIllFormedByte) {
  EXPECT_EQ(unicode::find_invalid_utf8("plain and \xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80"),
            std::string::npos);
  EXPECT_EQ(unicode::find_invalid_utf8("ab\x80"), 2U);              // stray continuation
  EXPECT_EQ(unicode::find_invalid_utf8("ab\xC0\xAF"), 2U);          // overlong '/'
  EXPECT_EQ(unicode::find_invalid_utf8("ab\xE0\x80\x80"), 2U);      // overlong NUL
  EXPECT_EQ(unicode::find_invalid_utf8("ab\xED\xA0\x80"), 2U);      // surrogate
  EXPECT_EQ(unicode::find_invalid_utf8("ab\xF4\x90\x80\x80"), 2U);  // above U+10FFFF
  EXPECT_EQ(unicode::find_invalid_utf8("ab\xE2\x82"), 2U);          // cut short
  EXPECT_EQ(unicode::find_invalid_utf8("twelve bytes\xFF and more"), 12U);
  EXPECT_EQ(unicode::find_invalid_utf8(""), std::string::npos);
}

TEST(Unicode, NamesTheOffsetOfTextThatIsNotUtf8) {
  try {
    unicode::require_utf8("a photo of \xFF");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::bad_text);
    EXPECT_NE(std::string(error.what()).find("byte 11"), std::string::npos) << error.what();
  }
}

TEST(Unicode, ReplacesMaximalIllFormedPartsOnce) {
  // Python: b"...".decode(errors="replace")
  EXPECT_EQ(unicode::replace_invalid_utf8("a\xE2\x82z"), "a\uFFFDz");
  EXPECT_EQ(unicode::replace_invalid_utf8("\xF0\x9F\x98"), "\uFFFD");
  EXPECT_EQ(unicode::replace_invalid_utf8("\xC0\xAF"), "\uFFFD\uFFFD");
  EXPECT_EQ(unicode::replace_invalid_utf8("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");
}

TEST(Unicode, ComposesAndOrdersMarks) {
  EXPECT_EQ(unicode::nfc(U"e\u0301"), U"\u00E9");
  EXPECT_EQ(unicode::nfc(U"e\u0302\u0323"), U"\u1EC7");
  EXPECT_EQ(unicode::nfc(U"\u1112\u1161\u11AB"), U"\uD55C");
  EXPECT_EQ(unicode::nfc(U"\uF900"), U"\u8C48");
  EXPECT_EQ(unicode::nfc(U"\u0958"), U"\u0915\u093C");  // composition exclusion
}

TEST(Unicode, OldNormalizationLeavesLaterMarksInPlace) {
  EXPECT_EQ(unicode::nfc(U"\u0E4A\u0D3B"), U"\u0D3B\u0E4A");
  EXPECT_EQ(unicode::nfc_of_unicode_9(U"\u0E4A\u0D3B"), U"\u0E4A\u0D3B");
  EXPECT_EQ(unicode::nfc_of_unicode_9(U"e\u0301\u0D3Be\u0301"), U"\u00E9\u0D3B\u00E9");
}

TEST(Unicode, ALongRunOfMarksIsOrderedInLinearithmicTime) {
  std::u32string text = U"a";
  for (int i = 0; i < 200'000; ++i) text += U"\u0302\u0323";
  const std::u32string out = unicode::nfc(text);
  EXPECT_EQ(out[0], U'\u1EAD');  // a with dot below and circumflex
  EXPECT_EQ(out.size(), text.size() - 2);
}

TEST(Unicode, LowersWithAndWithoutFinalSigma) {
  EXPECT_EQ(unicode::lower_each(U"\u039F\u03A3"), U"\u03BF\u03C3");
  // Python: "ΟΣ".lower(), "Σ".lower(), "ΑΣ.".lower(), "ΑΣ.Α".lower(), "1Σ".lower(), "ΑΣΣ".lower()
  EXPECT_EQ(unicode::lower_with_final_sigma(U"\u039F\u03A3"), U"\u03BF\u03C2");
  EXPECT_EQ(unicode::lower_with_final_sigma(U"\u03A3"), U"\u03C3");
  EXPECT_EQ(unicode::lower_with_final_sigma(U"\u0391\u03A3."), U"\u03B1\u03C2.");
  EXPECT_EQ(unicode::lower_with_final_sigma(U"\u0391\u03A3.\u0391"), U"\u03B1\u03C3.\u03B1");
  EXPECT_EQ(unicode::lower_with_final_sigma(U"1\u03A3"), U"1\u03C3");
  EXPECT_EQ(unicode::lower_with_final_sigma(U"\u0391\u03A3\u03A3"), U"\u03B1\u03C3\u03C2");
  EXPECT_EQ(unicode::lower_each(U"\u0130"), U"i\u0307");
}

TEST(Unicode, EndsGraphemeClusters) {
  const auto end = [](std::string_view text) { return unicode::grapheme_end(text, 0); };
  EXPECT_EQ(end("ab"), 1U);
  EXPECT_EQ(end("\r\nx"), 2U);
  EXPECT_EQ(end("e\u0302\u0323x"), 5U);
  EXPECT_EQ(end("\U0001F1E9\U0001F1EA\U0001F1EB"), 8U);                // one flag
  EXPECT_EQ(end("\U0001F468\u200D\U0001F469\u200D\U0001F467!"), 18U);  // one family
}

}  // namespace
}  // namespace ditq
