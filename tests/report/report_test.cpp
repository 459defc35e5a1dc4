// The page as text: what is in it, and what foreign documents cannot put there.

#include <cmath>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "report/sample_documents.h"

namespace ditq::test {
namespace {

using testing::HasSubstr;

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t out = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++out;
  return out;
}

/// Whether a page has a part; it is not printed, being long.
testing::AssertionResult has(const std::string& page, const std::string& part) {
  if (page.find(part) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "the page lacks: " << part;
}

/// The page without its style and script.
std::string body(const std::string& page) {
  const std::size_t begin = page.find("<body>");
  return page.substr(begin, page.rfind("<script>") - begin);
}

TEST(Report, HasEverySectionThatItsDocumentsGive) {
  const std::string page = body(html_report(report_input(3)));
  for (const char* id : {"pictures", "runs", "curves", "layers", "kept", "speed", "settings"}) {
    EXPECT_EQ(count(page, fmt::format("<section id=\"{}\"", id)), 1U) << id;
    EXPECT_EQ(count(page, fmt::format("<a href=\"#{}\">", id)), 1U) << id;
  }
  EXPECT_TRUE(has(page, "tiny-flux: FP8 against BF16"));
  EXPECT_TRUE(has(page, "Gate passed: both bars hold"));
}

TEST(Report, LeavesOutWhatItHasNoDocumentFor) {
  ReportInput input{.title = "Only numbers", .comparison = comparison_document(1)};
  const std::string page = body(html_report(input));
  EXPECT_TRUE(has(page, "Only numbers"));
  for (const char* id : {"pictures", "layers", "kept", "speed"}) {
    EXPECT_EQ(count(page, fmt::format("id=\"{}\"", id)), 0U) << id;
    EXPECT_EQ(count(page, fmt::format("href=\"#{}\"", id)), 0U) << id;
  }
}

TEST(Report, SaysWhichBarWasMissedAndByHowMuch) {
  const std::string page = body(html_report(report_input(3, false)));
  EXPECT_TRUE(has(page, "Gate missed: 1 of 2 bars"));
  EXPECT_TRUE(has(page, "<code>psnr</code> is 48.0 dB, required ≥ 50.5 dB: short by 2.5 dB"));
  EXPECT_TRUE(has(page, "frame 0 is blank"));
}

TEST(Report, SaysThatNoBarsWereSet) {
  Json comparison = comparison_document(2);
  comparison.erase("gate");
  EXPECT_TRUE(has(html_report({.title = "", .comparison = comparison}), "No bars were set"));
}

TEST(Report, GivesTheWorstOfAllRunsAndWhereItWas) {
  const std::string page = body(html_report(report_input(4)));
  // Run 3, step 4: 1 - 0.004 * 3 * 0.1.
  EXPECT_TRUE(has(page, "<b>0.99880</b><span>run 3, step 4"));
  EXPECT_TRUE(has(page, "<b>47.0 dB</b><span>run 3<br>mean 48.5 dB ± 0.5 dB"));
  EXPECT_TRUE(has(page, "<b>9.0 MB</b><span>50.0 % of 18.0 MB"));
  EXPECT_TRUE(has(page, "<b>1.60×</b><span>1.55× – 1.65×"));
}

TEST(Report, ShowsTheWorstPictureFirst) {
  const std::string page = body(html_report(report_input(3)));
  EXPECT_LT(page.find("data-name=\"Run 2\""), page.find("data-name=\"Run 1\""));
  EXPECT_LT(page.find("data-name=\"Run 1\""), page.find("data-name=\"Run 0\""));
}

TEST(Report, TakesAComparisonOfOneRunWithoutRuns) {
  Json old = comparison_document(1)["runs"][0];
  old.erase("index");
  old["output_metrics"].erase("frames");
  const std::string page = body(html_report({.title = "", .comparison = old}));
  EXPECT_TRUE(has(page, "<b>50.0 dB</b>"));
  EXPECT_EQ(count(page, "<figure class=\"chart\">"), 4U);
}

TEST(Report, TakesTwoFilesWithPicturesOnly) {
  const Json files = {{"output_metrics", {{"frame0_metrics", {{"psnr_db", INFINITY}}}}}};
  const std::string page = body(html_report({.title = "", .comparison = files}));
  EXPECT_TRUE(has(page, "∞ dB"));
  EXPECT_EQ(count(page, "<figure class=\"chart\">"), 0U);
}

TEST(Report, EscapesEveryTextFromOutside) {
  const std::string hostile = "</script><script>alert(1)</script><img src=x onerror=\"a\">'&\x01";
  ReportInput input = report_input(2);
  input.title = hostile;
  for (Json& run : input.comparison["runs"]) {
    run["prompt"] = hostile;
    run["picture_findings"]["candidate"] = {{{"kind", hostile}, {"message", hostile}}};
  }
  input.comparison["settings"][hostile] = hostile;
  input.comparison["settings"]["device"] = hostile;
  input.comparison["sides"]["candidate"]["scheme"] = hostile;
  input.comparison["gate"]["bars"][0]["metric"] = hostile;
  input.comparison["gate"]["bars"][0]["op"] = hostile;
  input.comparison["gate"]["findings"] = {hostile};
  input.comparison["command"] = {hostile};
  (*input.bench)["reading"] = {hostile};
  (*input.bench)["reference"]["device_state"][0][hostile] = hostile;
  (*input.doctor)["layers"][0]["name"] = hostile;
  (*input.doctor)["layers"][0]["stored"] = hostile;
  (*input.doctor)["findings"] = {{{"message", hostile}, {"advice", hostile}, {"severity", "note"}}};
  (*input.inspect)["layers"][2]["name"] = hostile;
  (*input.inspect)["layers"][2]["note"] = hostile;
  (*input.inspect)["layers"][2]["dtype"] = hostile;
  (*input.inspect)["scheme"] = hostile;
  (*input.record)["algorithm"] = hostile;
  (*input.record)["validation"]["checkpoint"][0]["name"] = hostile;
  (*input.record)["validation"]["checkpoint"][0]["sha256"] = hostile;
  input.pairs[0].frame_name = hostile;
  const std::string page = html_report(input);
  EXPECT_EQ(count(page, "<script>"), 1U);
  EXPECT_EQ(count(page, "onerror=\"a\""), 0U);
  EXPECT_EQ(count(page, "<img src=x"), 0U);
  EXPECT_EQ(count(page, "\x01"), 0U);
  EXPECT_GT(count(page, "&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;"), 20U);
}

TEST(Report, IsTheSameForTheSameInput) {
  EXPECT_EQ(html_report(report_input(3)), html_report(report_input(3)));
}

TEST(Report, LoadsNothing) {
  const std::string page = html_report(report_input(3));
  EXPECT_TRUE(has(page, "Content-Security-Policy\" content=\"default-src 'none'"));
  for (const char* reference :
       {"http:", "https:", "src=\"//", "url(", "@import", "<link", "<iframe"}) {
    EXPECT_EQ(count(page, reference), 0U) << reference;
  }
  EXPECT_EQ(count(page, "src=\""), count(page, "src=\"data:image/png;base64,"));
}

TEST(Report, ShowsNumbersThatAreNone) {
  ReportInput input = report_input(2);
  for (Json& step : input.comparison["runs"][1]["trajectory_metrics"]["per_step_metrics"]) {
    for (const char* key : {"cosine_similarity", "mae", "rmse", "relative_l2"}) step[key] = NAN;
  }
  input.comparison["runs"][1]["output_metrics"]["frames"][0]["psnr_db"] = NAN;
  input.comparison["gate"]["bars"][0]["value"] = NAN;
  input.comparison["gate"]["bars"][0]["holds"] = false;
  input.comparison["gate"]["passed"] = false;
  (*input.doctor)["layers"][0]["error"] = nullptr;
  (*input.bench)["reference"]["denoise"]["median_ms"] = INFINITY;
  const std::string page = body(html_report(input));
  EXPECT_TRUE(has(page, "<b>NaN</b><span>run 1, step 1"));
  EXPECT_TRUE(has(page, "<code>cosine</code> is NaN, required ≥ 0.9</li>"));
  EXPECT_LT(page.find("data-name=\"Run 1\""), page.find("data-name=\"Run 0\""));
  for (const char* raw :
       {":nan", " nan", ">nan", "\"nan", "Lnan", ":inf", " inf\"", ">inf", "\"inf"}) {
    EXPECT_EQ(count(page, raw), 0U) << raw;
  }
}

TEST(Report, DrawsChartsWhereNothingIsFinite) {
  Json comparison = comparison_document(1);
  for (Json& step : comparison["runs"][0]["trajectory_metrics"]["per_step_metrics"])
    step["mae"] = NAN;
  const std::string page = body(html_report({.title = "", .comparison = comparison}));
  EXPECT_TRUE(has(page, "aria-label=\"Mean absolute error of the latents: no finite value\""));
  EXPECT_EQ(count(page, "class=\"point gap\""), 4U);
}

TEST(Report, FoldsLayersByKindAndKeepsEveryNumber) {
  ReportInput input = report_input(1);
  input.doctor = doctor_document(250);
  const std::string page = body(html_report(input));
  EXPECT_TRUE(has(page, "500 of 501 layers differ"));
  EXPECT_EQ(count(page, "<svg class=\"strip\""), 2U);
  EXPECT_EQ(count(page, "<rect class=\"bar\""), 500U);
  EXPECT_TRUE(has(page, "<title>transformer_blocks.249.ff.net.2: 5.09 % (F8_E4M3)</title>"));
  // In the order of the blocks, though the document begins at the end.
  EXPECT_LT(page.find("<title>transformer_blocks.9.ff"),
            page.find("<title>transformer_blocks.10.ff"));
}

TEST(Report, FoldsWhatWasKeptByRoleAndReason) {
  const std::string page = body(html_report(report_input(1)));
  EXPECT_TRUE(has(page, "38 of 77 layers are quantized"));
  EXPECT_TRUE(has(page, "<code>transformer_blocks.#.norm1.linear</code>"));
  EXPECT_TRUE(has(page, "BF16 fallback of FLUX.1"));
  EXPECT_TRUE(has(page, "matches a pattern of the quantization config: <code>x_emb*</code>"));
  EXPECT_TRUE(has(page, "19 layers, 2.4 kB that are no matrices"));
}

TEST(Report, LooksIntoAPipelinesInspection) {
  ReportInput input = report_input(1);
  input.inspect = Json{{"kind", "pipeline"},
                       {"components",
                        {{{"name", "vae"}, {"checkpoint", nullptr}},
                         {{"name", "transformer"}, {"checkpoint", inspect_document(2)}}}}};
  EXPECT_TRUE(has(html_report(input), "4 of 9 layers are quantized"));
}

TEST(Report, ShowsStagesMemoryAndClocksOfTheBenchmark) {
  const std::string page = body(html_report(report_input(1)));
  EXPECT_TRUE(has(page, "title=\"denoising: 5.00 s\""));
  EXPECT_TRUE(has(page, "5.00 s <small>4.50 s – 5.50 s</small>"));
  EXPECT_TRUE(has(page, "1.60× <small>1.55× – 1.65×</small>"));
  EXPECT_TRUE(has(page, "in the order A B B A (A the reference)"));
  EXPECT_TRUE(has(page, "The gain belongs in denoising."));
  EXPECT_TRUE(has(page, "<th scope=\"col\" class=\"number\">gpu sm_clock_mhz</th>"));
}

TEST(Report, QuotesCommandsForAShell) {
  EXPECT_TRUE(has(html_report(report_input(1)),
                  "ditq compare --prompt &#39;it&#39;\\&#39;&#39;s a circle&#39;"));
}

TEST(Report, ShowsPicturesOfDifferentSizesWithoutAMap) {
  ReportInput input = report_input(1);
  input.pairs[0].candidate = pair_of_pictures(0, 24, 32, 1).candidate;
  const std::string page = body(html_report(input));
  EXPECT_TRUE(has(page, "not of one size"));
  EXPECT_EQ(count(page, "class=\"pair same-size\""), 0U);
  input.pairs[0].candidate = {};
  EXPECT_TRUE(has(html_report(input), "No picture."));
}

TEST(Report, ShowsLargePicturesSmallerAndSaysSo) {
  ReportInput input = report_input(1);
  input.pairs = {pair_of_pictures(0, 2048, 1024, 20)};
  const std::string page = body(html_report(input));
  EXPECT_TRUE(has(page, "Shown at 1448 × 724; the pictures have 2048 × 1024."));
  EXPECT_TRUE(has(page, "the largest is 20 of 255"));
}

TEST(Report, KeepsWithinItsBudgetForManyRuns) {
  ReportInput input = report_input(60);
  for (ReportPair& pair : input.pairs) pair = pair_of_pictures(pair.run, 320, 320, 20);
  const std::string page = body(html_report(input));
  EXPECT_EQ(count(page, "<article class=\"run\""), kMostReportPairs);
  EXPECT_TRUE(has(page, "30 of 60 runs are shown"));
  EXPECT_EQ(count(page, "width=\"320\""), 3U);  // the worst one
}

TEST(Report, RefusesDocumentsOfAnotherKindNamingTheKey) {
  const auto message = [](const ReportInput& input) -> std::string {
    try {
      html_report(input);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::json_type);
      return error.what();
    }
    return "accepted";
  };
  ReportInput input = report_input(1);
  input.names.doctor = "doctor.json";
  input.doctor = inspect_document(1);
  EXPECT_THAT(message(input), testing::AllOf(HasSubstr("doctor.json"), HasSubstr("healthy"),
                                             HasSubstr("ditq doctor --json")));
  input = report_input(1);
  input.comparison = bench_document();
  EXPECT_THAT(message(input), testing::AllOf(HasSubstr("the comparison"), HasSubstr("runs")));
  input = report_input(1);
  input.comparison["runs"][0]["trajectory_metrics"]["per_step_metrics"][1]["mae"] = "small";
  EXPECT_THAT(message(input), HasSubstr("runs[0].trajectory_metrics.per_step_metrics[1].mae"));
  input = report_input(1);
  (*input.bench)["speedup"] = 1.5;
  EXPECT_THAT(message(input), HasSubstr("speedup"));
}

}  // namespace
}  // namespace ditq::test
