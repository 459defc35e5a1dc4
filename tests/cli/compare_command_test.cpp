// compare on files, as a gate in a script.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "cli/ditq_program.h"
#include "support/pictures.h"

namespace ditq::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class CompareFilesCommand : public testing::Test {
 protected:
  CompareFilesCommand() { write_png(folder_ / "good.png", disc_picture(64)); }

  ProcessResult compare(const Picture& candidate, const std::vector<std::string>& more = {}) {
    write_png(folder_ / "candidate.png", candidate);
    std::vector<std::string> arguments{"compare", "--reference", folder_ / "good.png",
                                       "--candidate", folder_ / "candidate.png"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return ditq(arguments);
  }

  const TemporaryFolder folder_;
};

TEST_F(CompareFilesCommand, FailsABlankPictureWithoutABar) {
  const ProcessResult found = compare(flat_picture(64, 7, 7, 7));
  EXPECT_EQ(found.exit_code, 1);
  EXPECT_THAT(found.err, HasSubstr("frame 0 is blank: every pixel is #070707"));
}

TEST_F(CompareFilesCommand, SaysWhichBarAShiftedPictureMissesAndByHowMuch) {
  const ProcessResult found = compare(
      disc_picture(64, 6), {"--require", "psnr>=28", "--output-json", folder_ / "report.json"});
  EXPECT_EQ(found.exit_code, 1);
  EXPECT_THAT(found.err, AllOf(HasSubstr("psnr: worst frame 0 has "), HasSubstr("required >= 28"),
                               HasSubstr("(missed by ")));
  const Json report = read_json(folder_ / "report.json");
  EXPECT_FALSE(report["gate"]["passed"].get<bool>());
  EXPECT_EQ(report["command"][1], "compare");
}

TEST_F(CompareFilesCommand, FailsANoisyPicture) {
  const ProcessResult found = compare(noise_picture(64), {"--require", "ssim>=0.9"});
  EXPECT_EQ(found.exit_code, 1);
  EXPECT_THAT(found.err, AllOf(HasSubstr("is noise"), HasSubstr("ssim: worst frame 0")));
}

TEST_F(CompareFilesCommand, WritesAPageToLookAt) {
  ASSERT_EQ(compare(disc_picture(64), {"--report", folder_ / "report.html"}).exit_code, 0);
  const std::string page = read_text(folder_ / "report.html");
  EXPECT_TRUE(page.starts_with("<!doctype html>"));
  EXPECT_THAT(page, HasSubstr("data:image/png;base64,"));
  // A missed bar is what one wants to look at.
  ASSERT_EQ(
      compare(disc_picture(64, 6), {"--require", "psnr>=28", "--report", folder_ / "missed.html"})
          .exit_code,
      1);
  EXPECT_THAT(read_text(folder_ / "missed.html"), HasSubstr("psnr"));
}

TEST_F(CompareFilesCommand, PassesTheSamePicture) {
  EXPECT_EQ(compare(disc_picture(64), {"--require", "psnr>=28,ssim>=0.99"}).exit_code, 0);
}

TEST_F(CompareFilesCommand, RefusesSeedsOfFiles) {
  EXPECT_EQ(compare(disc_picture(64), {"--seeds", "0-3"}).exit_code, 2);
  EXPECT_EQ(ditq({"compare", "--model-path", tiny_flux().string(), "--prompt", "x", "--seed", "1",
                  "--seeds", "1,2"})
                .exit_code,
            2);
}

}  // namespace
}  // namespace ditq::test
