#include "pipeline/result_health.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/paths.h"
#include "support/pictures.h"

namespace ditq {
namespace {

using test::disc_picture;
using test::flat_picture;
using test::noise_picture;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

ResultHealth health_of(const Picture& picture) {
  return {.frames = {statistics_of(picture)}};
}

std::vector<std::string> kinds(const std::vector<Finding>& findings) {
  std::vector<std::string> out;
  for (const Finding& finding : findings) out.push_back(finding.kind);
  return out;
}

std::vector<std::string> kinds_of(const Picture& picture) {
  return kinds(findings_of(health_of(picture)));
}

std::vector<std::string> new_kinds(const Picture& reference, const Picture& candidate) {
  return kinds(new_findings(health_of(reference), health_of(candidate)));
}

TEST(ResultHealth, NamesBlankPicturesByTheirColour) {
  const auto found = findings_of(health_of(flat_picture(32, 128, 64, 1)));
  EXPECT_THAT(kinds(found), ElementsAre("blank"));
  EXPECT_EQ(found.front().frame, 0);
  EXPECT_EQ(found.front().message, "frame 0 is blank: every pixel is #804001");
}

TEST(ResultHealth, CallsABlackPictureBlankAndSaturated) {
  EXPECT_THAT(kinds_of(flat_picture(32, 0, 0, 0)), ElementsAre("blank", "saturated"));
}

TEST(ResultHealth, NamesAlmostConstantPictures) {
  Picture picture = flat_picture(64, 90, 90, 90);
  for (std::size_t i = 0; i < picture.pixels.size(); i += 7) picture.pixels[i] = 92;
  EXPECT_THAT(kinds_of(picture), ElementsAre("constant"));
}

TEST(ResultHealth, NamesSaturatedPictures) {
  Picture clipped = test::rule_picture(64, 64);
  for (std::uint8_t& value : clipped.pixels) value = value < 128 ? 0 : 255;
  EXPECT_THAT(kinds_of(clipped), testing::Contains("saturated"));
}

TEST(ResultHealth, NamesNoise) {
  EXPECT_THAT(kinds_of(noise_picture(64)), ElementsAre("noise"));
  EXPECT_THAT(kinds_of(noise_picture(64, 2)), ElementsAre("saturated", "noise"));
  // Too few pixels to tell.
  EXPECT_THAT(kinds_of(noise_picture(16)), IsEmpty());
}

TEST(ResultHealth, FindsNothingInShapesOnFlatGrounds) {
  EXPECT_THAT(kinds_of(disc_picture(64)), IsEmpty());
  // A dot of a thousandth of the picture.
  Picture dot = flat_picture(64, 30, 30, 30);
  for (const std::size_t pixel : {2000U, 2001U, 2064U, 2065U}) {
    for (std::size_t c = 0; c < 3; ++c) dot.pixels[3 * pixel + c] = 220;
  }
  EXPECT_THAT(kinds_of(dot), IsEmpty());
}

TEST(ResultHealth, FindsNothingInTheBundledModelsPictures) {
  const auto folder = test::golden("golden/flux1-tiny/images");
  if (!folder) GTEST_SKIP() << "the golden set is not here";
  int pictures = 0;
  for (const auto& entry : std::filesystem::directory_iterator(*folder)) {
    if (entry.path().extension() != ".png") continue;
    EXPECT_THAT(kinds_of(read_png(entry.path().string())), IsEmpty()) << entry.path();
    ++pictures;
  }
  EXPECT_GT(pictures, 0);
}

TEST(ResultHealth, HoldsAgainstTheCandidateWhatTheReferenceHasNot) {
  const Picture good = disc_picture(64);
  const Picture grey = flat_picture(64, 128, 128, 128);
  EXPECT_THAT(new_kinds(good, grey), ElementsAre("blank"));
  EXPECT_THAT(new_kinds(grey, good), IsEmpty());
  EXPECT_THAT(new_kinds(grey, flat_picture(64, 1, 2, 3)), IsEmpty());
  EXPECT_THAT(new_kinds(good, noise_picture(64)), ElementsAre("noise"));
  EXPECT_THAT(new_kinds(noise_picture(64), noise_picture(64)), IsEmpty());
}

TEST(ResultHealth, CountsAReferenceJustBelowALimitAsHavingTheDefect) {
  ResultHealth reference{.frames = {{.deviation = 2.1, .clipped = 0.97}}};
  ResultHealth candidate{.frames = {{.deviation = 1.9, .clipped = 0.99}}};
  EXPECT_THAT(kinds(findings_of(reference)), IsEmpty());
  EXPECT_THAT(kinds(findings_of(candidate)), ElementsAre("constant", "saturated"));
  EXPECT_THAT(kinds(new_findings(reference, candidate)), IsEmpty());
  reference.frames.front() = {.deviation = 20, .clipped = 0.1};
  EXPECT_THAT(kinds(new_findings(reference, candidate)), ElementsAre("constant", "saturated"));
}

TEST(ResultHealth, CountsValuesThatAreNoNumbers) {
  const ResultHealth good{.frames = {statistics_of(disc_picture(64))},
                          .steps = {{.values = 10}, {.values = 10}, {.values = 10}}};
  ResultHealth broken = good;
  broken.decoded_values = 12;
  broken.non_finite_pixels = 5;
  broken.steps[1].non_finite = 3;
  broken.steps[2].non_finite = 10;
  const auto found = new_findings(good, broken);
  EXPECT_THAT(kinds(found), ElementsAre("non_finite", "non_finite"));
  EXPECT_THAT(found[0].message, HasSubstr("5 of 12 values are NaN or infinite"));
  EXPECT_THAT(found[1].message, HasSubstr("after step 1"));
  EXPECT_EQ(found[1].step, 1);
  EXPECT_THAT(new_findings(broken, broken), IsEmpty());
}

TEST(ResultHealth, NamesTheFrame) {
  const PictureStatistics good = statistics_of(disc_picture(64));
  const ResultHealth reference{.frames = {good, good, good}};
  ResultHealth candidate = reference;
  candidate.frames[2] = statistics_of(flat_picture(64, 9, 9, 9));
  const auto found = new_findings(reference, candidate);
  ASSERT_EQ(found.size(), 1);
  EXPECT_EQ(found.front().frame, 2);
  EXPECT_EQ(dump_json(to_json(found)),
            R"([{"kind": "blank", "frame": 2, "step": null, "message": "frame 2 is blank: every )"
            R"(pixel is #090909"}])");
}

}  // namespace
}  // namespace ditq
