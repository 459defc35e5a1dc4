// What the page is put together from: escaping, numbers, copies of pictures.

#include <cmath>

#include <gtest/gtest.h>

#include "report/html.h"
#include "report/numbers.h"
#include "report/picture_copies.h"
#include "report/sample_documents.h"

namespace ditq::test {
namespace {

TEST(Escaping, SpellsMarkupAndReplacesWhatIsNoText) {
  EXPECT_EQ(escaped("<a b='c' d=\"e\">&"), "&lt;a b=&#39;c&#39; d=&quot;e&quot;&gt;&amp;");
  EXPECT_EQ(escaped("größe 漢字 😀"), "größe 漢字 😀");
  EXPECT_EQ(escaped(std::string_view("a\0b\x1b\x7f\n\t", 7)), "a\uFFFDb\uFFFD\uFFFD\n\t");
  // Cut short, overlong, a surrogate, a C1 control character.
  EXPECT_EQ(escaped("\xE2\x82"), "\uFFFD\uFFFD");
  EXPECT_EQ(escaped("\xC0\xBC"), "\uFFFD\uFFFD");
  EXPECT_EQ(escaped("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(escaped("\xC2\x9B"), "\uFFFD");
}

TEST(Numbers, AreWrittenForPeople) {
  EXPECT_EQ(significant(0.00012345), "1.23×10⁻⁴");
  EXPECT_EQ(significant(0.0123), "0.0123");
  EXPECT_EQ(significant(9.999), "10.0");
  EXPECT_EQ(significant(99999.0), "1.00×10⁵");
  EXPECT_EQ(significant(1234567.0), "1.23×10⁶");
  EXPECT_EQ(significant(-0.5), "−0.500");
  EXPECT_EQ(significant(0.0), "0");
  EXPECT_EQ(fixed(-0.0000001, 3), "0.000");
  EXPECT_EQ(percent(0.0267), "2.67 %");
  EXPECT_EQ(percent(0.5), "50.0 %");
  EXPECT_EQ(percent(1.42), "142 %");
  EXPECT_EQ(percent(0.0000123), "0.0012 %");
  EXPECT_EQ(percent(0.00000012), "1.2×10⁻⁵ %");
  EXPECT_EQ(duration(0.123), "0.123 ms");
  EXPECT_EQ(duration(999.7), "1.00 s");
  EXPECT_EQ(duration(8420.0), "8.42 s");
  EXPECT_EQ(duration(125000.0), "2 min 5 s");
  EXPECT_EQ(bytes_text(14.6e9), "14.6 GB");
}

TEST(Numbers, ThatAreNoneAreSaidSo) {
  for (const auto& text : {significant(NAN), fixed(NAN, 2), percent(NAN), duration(NAN),
                           decibel(NAN), bytes_text(NAN), times(NAN)}) {
    EXPECT_EQ(text, "NaN");
  }
  EXPECT_EQ(significant(std::nullopt), "–");
  EXPECT_EQ(decibel(INFINITY), "∞ dB");
  EXPECT_EQ(times(-INFINITY), "−∞");
}

TEST(Numbers, OfDocumentsKeepTheirForm) {
  EXPECT_EQ(value_text(Json{1, 2.5, "a", true, nullptr}), "1, 2.5, a, yes, –");
  EXPECT_EQ(value_text(Json{{"bf16", 30}, {"fp8", 32}}), "bf16: 30, fp8: 32");
  EXPECT_EQ(value_text(Json(18446744073709551615U)), "18446744073709551615");
}

TEST(PictureCopies, TellTheLargestDifferenceOfAChannel) {
  const ReportPair pair = pair_of_pictures(0, 40, 30, 17);
  const auto map = difference(pair.reference, pair.candidate);
  ASSERT_TRUE(map);
  EXPECT_EQ(map->largest(), 17);
  EXPECT_EQ(map->values[41], 17);
  EXPECT_EQ(map->usual_largest(), 0);  // one pixel of 1200 is less than one in a thousand
  EXPECT_FALSE(difference(pair.reference, pair_of_pictures(0, 30, 40, 1).candidate));
  EXPECT_FALSE(difference({}, {}));
}

TEST(PictureCopies, OfTheDifferenceLoseNoPixel) {
  const ReportPair pair = pair_of_pictures(0, 400, 300, 255 / 4);
  const auto map = difference(pair.reference, pair.candidate);
  const Picture small = difference_map(*map, {.width = 20, .height = 15}, 4);
  const Picture full = difference_map(*map, {.width = 400, .height = 300}, 4);
  const std::size_t at = 401 * 3;
  EXPECT_GT(full.pixels[at], 240);  // light: the largest that the scale has
  EXPECT_EQ(std::vector<std::uint8_t>(small.pixels.begin(), small.pixels.begin() + 3),
            std::vector<std::uint8_t>(full.pixels.begin() + at, full.pixels.begin() + at + 3));
  EXPECT_EQ(std::vector<std::uint8_t>(small.pixels.begin() + 3, small.pixels.begin() + 6),
            std::vector<std::uint8_t>(full.pixels.begin(), full.pixels.begin() + 3));
}

TEST(PictureCopies, AreMeansOfWhatTheyCover) {
  Picture picture{.width = 4, .height = 2, .pixels = {}};
  for (int i = 0; i < 8; ++i) picture.pixels.insert(picture.pixels.end(), 3, std::uint8_t(i * 10));
  const Picture half = smaller(picture, {.width = 2, .height = 1});
  EXPECT_EQ(half.pixels, (std::vector<std::uint8_t>{25, 25, 25, 45, 45, 45}));
  EXPECT_EQ(smaller(picture, {.width = 4, .height = 2}).pixels, picture.pixels);
}

TEST(PictureCopies, KeepTheirProportionsWithinTheBudget) {
  const CopySize size = copy_size(4000, 1000, 1'000'000);
  EXPECT_EQ(size.width, 2000);
  EXPECT_EQ(size.height, 500);
  EXPECT_EQ(copy_size(10, 10, 1000).width, 10);
  EXPECT_EQ(copy_size(100000, 1, 1000).height, 1);
  EXPECT_LE(copy_size(65500, 1, 1000).width, 65500);
}

TEST(PictureCopies, AreEncodedAsRfc4648Says) {
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
}

}  // namespace
}  // namespace ditq::test
