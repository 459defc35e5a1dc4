// The page in headless Chromium: on a desk and on a phone, light and dark, with the slider, the keys, and in print.
// Skipped where no browser is found (Debian: chromium); DITQ_CHROMIUM names another one.

#include <cstdlib>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "media/picture.h"
#include "report/sample_documents.h"
#include "support/paths.h"
#include "support/process.h"

namespace ditq::test {
namespace {

using testing::HasSubstr;
using testing::Not;

/// Stands before the page's own script and takes note of what goes wrong.
constexpr const char* kWatch = R"html(<script>
window.faults = [];
addEventListener('error', (event) => faults.push(event.message || 'a resource failed'), true);
addEventListener('securitypolicyviolation', (event) => faults.push(event.violatedDirective));
</script>)html";

/// Stands behind it, uses the page and tells the frame around it what it saw, as JSON.
constexpr const char* kProbe = R"html(<script>
const style = (element) => getComputedStyle(element);
const light = (color) => Math.max(...color.match(/[\d.]+/g).slice(0, 3).map(Number));
const shown = () => [...document.querySelectorAll('article.run')].filter((run) => run.offsetWidth).map((run) => run.dataset.name);
const wide = [...document.querySelectorAll('body *')].filter((element) =>
  !element.closest('.scroll, .chooser, caption') && element.getBoundingClientRect().right > innerWidth + 1);
const seen = {width: innerWidth, scroll: document.documentElement.scrollWidth, wide: wide.map((e) => e.outerHTML.slice(0, 80)),
  page: light(style(document.body).backgroundColor), ink: light(style(document.body).color),
  pictures: [...document.images].every((image) => image.complete && image.naturalWidth > 0), first: shown()};
const pair = document.querySelector('.pair');
const range = pair.querySelector('input');
const cut = () => style(pair.querySelector('.candidate img')).clipPath;
if (range) {
  const candidate = pair.querySelector('.candidate img').getBoundingClientRect();
  const reference = pair.querySelector('.reference img').getBoundingClientRect();
  seen.over = Math.abs(candidate.left - reference.left) + Math.abs(candidate.top - reference.top);
  seen.middle = cut();
  range.value = 20;
  range.dispatchEvent(new Event('input'));
  seen.keys = cut();
  seen.said = range.getAttribute('aria-valuetext');
  seen.focusable = range.tabIndex;
  const box = pair.getBoundingClientRect();
  pair.setPointerCapture = () => {};
  pair.dispatchEvent(new PointerEvent('pointerdown', {pointerId: 1, button: 0, clientX: box.left + box.width * 0.75, clientY: box.top + 5, bubbles: true}));
  seen.pointer = cut();
  seen.range = style(range).display;
  seen.beside = candidate.left > reference.right - 1;
}
const buttons = [...document.querySelectorAll('.chooser button')];
if (buttons.length > 1) buttons[1].click();
seen.second = shown();
seen.pressed = buttons.map((button) => button.getAttribute('aria-pressed'));
seen.unnamed = [...document.querySelectorAll('img:not([alt]), svg:not([aria-label]), th:not([scope])')].length;
seen.faults = faults;
parent.postMessage(JSON.stringify(seen), '*');
</script>)html";

/// A page around the page: a window is at least 500 pixels wide, a frame as narrow as a phone.
constexpr const char* kFrame = R"html(<!doctype html><html style="color-scheme: light dark"><script>
addEventListener('message', (event) => document.documentElement.dataset.seen = event.data);
</script><iframe src="report.html" style="border:0;height:900px;width:)html";

std::string browser() {
  const char* named = std::getenv("DITQ_CHROMIUM");
  if (named != nullptr) return named;
  for (const char* path : {"/usr/bin/chromium", "/usr/bin/chromium-browser",
                           "/usr/bin/google-chrome-stable", "/usr/bin/google-chrome"}) {
    if (std::filesystem::exists(path)) return path;
  }
  return {};
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  if (at == std::string::npos) throw std::runtime_error("no '" + from + "' in the page");
  return text.replace(at, from.size(), to);
}

/// The page with watch and probe, which its policy has to admit.
std::string probed(std::string page) {
  const std::size_t policy = page.find("script-src ");
  page.replace(policy, page.find('"', policy) - policy, "script-src 'unsafe-inline'");
  page = replaced(std::move(page), "<style>", std::string(kWatch) + "<style>");
  return replaced(std::move(page), "</body>", std::string(kProbe) + "</body>");
}

class ReportInBrowser : public testing::Test {
 protected:
  void SetUp() override {
    if (browser().empty()) GTEST_SKIP() << "no Chromium here (Debian: apt-get install chromium)";
  }

  /// Runs the browser on a page of the folder.
  ProcessResult run(const std::string& name, std::vector<std::string> flags) {
    std::vector<std::string> words = {browser(),
                                      "--headless",
                                      "--no-sandbox",
                                      "--disable-gpu",
                                      "--disable-dev-shm-usage",
                                      "--no-first-run",
                                      "--hide-scrollbars",
                                      "--virtual-time-budget=5000",
                                      "--user-data-dir=" + (folder_ / "profile")};
    words.insert(words.end(), flags.begin(), flags.end());
    words.push_back("file://" + (folder_ / name));
    return run_process(words, {.environment = {{"HOME", folder_.path().string()}}});
  }

  /// What the probe saw.
  Json look(const std::string& page, int width, bool dark = false) {
    write_text(folder_ / "report.html", probed(page));
    write_text(folder_ / "frame.html", kFrame + std::to_string(width) + "px\"></iframe></html>");
    const ProcessResult result = run(
        "frame.html", {"--dump-dom", "--window-size=1400,1000",
                       std::string("--blink-settings=preferredColorScheme=") + (dark ? "0" : "1")});
    const std::string mark = "data-seen=\"";
    const std::size_t begin = result.out.find(mark);
    if (begin == std::string::npos) {
      ADD_FAILURE() << "the probe did not run: " << result.err;
      return Json::object();
    }
    std::string text = result.out.substr(begin + mark.size());
    text.resize(text.find('"'));
    for (std::size_t at; (at = text.find("&quot;")) != std::string::npos;)
      text.replace(at, 6, "\"");
    for (std::size_t at; (at = text.find("&amp;")) != std::string::npos;) text.replace(at, 5, "&");
    return parse_json(text, "what the probe saw");
  }

  TemporaryFolder folder_;
};

void expect_sound(const Json& seen, int width) {
  EXPECT_EQ(seen["faults"], Json::array());
  EXPECT_EQ(seen["width"], width);
  EXPECT_LE(seen["scroll"].get<int>(), width);
  EXPECT_EQ(seen["wide"], Json::array());
  EXPECT_EQ(seen["pictures"], true);
  EXPECT_EQ(seen["unnamed"], 0);
}

TEST_F(ReportInBrowser, FitsADeskAndItsSliderMoves) {
  const Json seen = look(html_report(report_input(3)), 1200);
  expect_sound(seen, 1200);
  EXPECT_LT(seen["over"].get<double>(), 1.0);  // pixels
  EXPECT_EQ(seen["middle"], "inset(0px 0px 0px 50%)");
  EXPECT_EQ(seen["keys"], "inset(0px 0px 0px 20%)");
  EXPECT_EQ(seen["said"], "20 % reference");
  EXPECT_EQ(seen["focusable"], 0);
  EXPECT_EQ(seen["pointer"], "inset(0px 0px 0px 75%)");
}

TEST_F(ReportInBrowser, FitsAPhone) {
  ReportInput input = report_input(12, false);
  input.doctor = doctor_document(250);
  input.comparison["runs"][0]["prompt"] = std::string(300, 'x');  // a word without a break
  input.comparison["settings"]["negative_prompt"] = std::string(300, 'y');
  expect_sound(look(html_report(input), 390), 390);
}

TEST_F(ReportInBrowser, FollowsTheReadersColours) {
  const std::string page = html_report(report_input(2));
  const Json light = look(page, 1200);
  const Json dark = look(page, 390, true);
  expect_sound(dark, 390);
  EXPECT_GT(light["page"], 220);
  EXPECT_LT(light["ink"], 80);
  EXPECT_LT(dark["page"], 60);
  EXPECT_GT(dark["ink"], 200);
}

TEST_F(ReportInBrowser, ShowsOneRunAtATimeTheWorstFirst) {
  const Json seen = look(html_report(report_input(3)), 1200);
  EXPECT_EQ(seen["first"], Json({"Run 2"}));
  EXPECT_EQ(seen["second"], Json({"Run 1"}));
  EXPECT_EQ(seen["pressed"], Json({"false", "true", "false"}));
}

TEST_F(ReportInBrowser, PrintsBothPicturesOfEveryRun) {
  const std::string page = replaced(html_report(report_input(3)), "@media print {", "@media all {");
  const Json seen = look(page, 1000);
  EXPECT_EQ(seen["faults"], Json::array());
  EXPECT_EQ(seen["first"], Json({"Run 2", "Run 1", "Run 0"}));
  EXPECT_EQ(seen["middle"], "none");
  EXPECT_EQ(seen["range"], "none");
  EXPECT_EQ(seen["beside"], true);
}

TEST_F(ReportInBrowser, ReadsWithoutItsScript) {
  std::string page = html_report(report_input(2));
  const std::size_t begin = page.rfind("<script>");
  page.erase(begin, page.find("</script>", begin) - begin);
  const Json seen = look(page, 390);
  expect_sound(seen, 390);
  EXPECT_EQ(seen["first"], Json({"Run 1", "Run 0"}));
}

TEST_F(ReportInBrowser, RunsItsOwnScriptAndNoOther) {
  const std::string page =
      replaced(html_report(report_input(2)), "</body>",
               "<script>document.documentElement.className = 'foreign'</script></body>");
  write_text(folder_ / "report.html", page);
  const ProcessResult result = run("report.html", {"--dump-dom"});
  EXPECT_THAT(result.out, HasSubstr("<html lang=\"en\" class=\"script\">"));
}

TEST_F(ReportInBrowser, IsAPictureAndADocument) {
  write_text(folder_ / "report.html", html_report(report_input(2)));
  run("report.html", {"--screenshot=" + (folder_ / "page.png"), "--window-size=800,600"});
  const Picture picture = read_png(folder_ / "page.png");
  EXPECT_EQ(picture.width, 800);
  run("report.html", {"--print-to-pdf=" + (folder_ / "page.pdf")});
  EXPECT_EQ(read_text(folder_ / "page.pdf").substr(0, 5), "%PDF-");
}

}  // namespace
}  // namespace ditq::test
