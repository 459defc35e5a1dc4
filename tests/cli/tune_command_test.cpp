// tune up to the point where the engine would be asked, and its plot.

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/ditq_program.h"
#include "frontier_plot.h"

namespace ditq::test {
namespace {

using testing::HasSubstr;
using testing::Not;

std::vector<std::string> tune(const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"tune", "--model-path", tiny_flux().string(), "--candidate",
                                        (tiny_flux_fp8() / "transformer").string()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

TEST(TuneCommand, SaysWhatIsMissing) {
  EXPECT_THAT(ditq({"tune", "--candidate", "x", "--require", "noise_l2<=1"}).err,
              HasSubstr("--model-path is required"));
  EXPECT_THAT(ditq({"tune", "--model-path", "x", "--require", "noise_l2<=1"}).err,
              HasSubstr("--candidate"));
  EXPECT_THAT(ditq(tune({"--prompt", "a star"})).err, HasSubstr("--require"));
  const ProcessResult result = ditq(tune({"--require", "noise_l2<=1"}));
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("a prompt is missing"));
}

TEST(TuneCommand, RefusesValuesThatCannotBe) {
  const std::vector<std::vector<std::string>> cases = {
      {"--group-by", "head"},     {"--psnr-prompts", "-1"},    {"--frontier-points", "1"},
      {"--max-search-runs", "0"}, {"--patterns", "keep.yaml"}, {"--prompts-file", "also.txt"}};
  for (std::vector<std::string> flags : cases) {
    flags.insert(flags.end(), {"--prompt", "a star", "--require", "noise_l2<=0.03"});
    EXPECT_EQ(ditq(tune(flags)).exit_code, 2) << flags.front();
  }
}

#ifdef DITQ_HAS_ENGINE
TEST(TuneCommand, TakesOneBarOnTheNoise) {
  for (const char* bar : {"psnr>=28", "noise_l2>=0.03", "noise_l2<=0", "noise_l2<=0.1,cosine>=0.9",
                          "noise_l2", "last.noise_l2<=0.1"}) {
    EXPECT_EQ(ditq(tune({"--prompt", "a star", "--require", bar})).exit_code, 2) << bar;
  }
}
#endif

TEST(FrontierPlot, IsOneSelfContainedDocument) {
  const std::string svg = draw({.title = "a < b & \"c\"",
                                .x_title = "MB",
                                .y_title = "error",
                                .line = {{"", 1e6, 0.03}, {"", 2e6, 0.02, 0.001}},
                                .marks = {{"documented", 1.5e6, 0.025}},
                                .bar = 0.03});
  EXPECT_TRUE(svg.starts_with("<svg "));
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
  EXPECT_THAT(svg, HasSubstr("a &lt; b &amp; &quot;c&quot;"));
  EXPECT_THAT(svg, HasSubstr("documented"));
  EXPECT_THAT(svg, HasSubstr("bar 0.03"));
  EXPECT_THAT(svg, Not(HasSubstr("<script")));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
}

TEST(FrontierPlot, LeavesOutWhatIsNoNumberAndDrawsNothingAtAll) {
  EXPECT_THAT(draw({.title = "",
                    .x_title = "",
                    .y_title = "",
                    .line = {{"", 1, std::nan("")}},
                    .marks = {{"lost", INFINITY, 1}}}),
              Not(HasSubstr("lost")));
  EXPECT_TRUE(draw({}).ends_with("</svg>\n"));
}

}  // namespace
}  // namespace ditq::test
