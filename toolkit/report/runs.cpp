// Every run with its figures, worst picture first.

#include <algorithm>

#include <fmt/format.h>

#include "report/html.h"
#include "report/numbers.h"
#include "report/sections.h"

namespace ditq {
namespace {

/// Beyond this many runs the table is folded.
constexpr std::size_t kOpenRuns = 6;

std::string marked(const std::string& text, bool defect) {
  return defect ? text + " <span class=\"bad\">✗ defect</span>" : text;
}

void add_run(HtmlTable& table, const RunView& run) {
  std::vector<std::optional<double>> cosines;
  for (const StepView& step : run.steps) cosines.push_back(step.cosine);
  const Worst worst = worst_of(cosines, Better::high);
  const FrameView frame = run.worst_frame();
  std::optional<double> last_cosine;
  std::optional<double> last_relative;
  if (!run.steps.empty()) {
    last_cosine = run.steps.back().cosine;
    last_relative = run.steps.back().relative_l2;
  }
  const bool defect = !run.candidate_findings.empty();
  table.add({marked(fmt::format("{}", run.index), defect), foreign(run.prompt), escaped(run.seed),
             fixed(worst.value, 5), worst.value ? fmt::format("{}", worst.at + 1) : "–",
             fixed(last_cosine, 5), significant(last_relative), decibel(frame.psnr_db),
             fixed(frame.ssim, 4), fixed(frame.clip, 4), significant(frame.mae)});
}

}  // namespace

std::string runs_section(const ReportView& view) {
  if (view.runs.empty()) return "";
  std::vector<const RunView*> runs;
  for (const RunView& run : view.runs) runs.push_back(&run);
  std::stable_sort(runs.begin(), runs.end(), [](const RunView* a, const RunView* b) {
    return is_worse(a->worst_frame().psnr_db, b->worst_frame().psnr_db, Better::high);
  });
  HtmlTable table("Every run, worst picture first", {{"Run", "number"},
                                                     {"Prompt", "words"},
                                                     {"Seed", "number"},
                                                     {"Worst cosine", "number"},
                                                     {"at step", "number"},
                                                     {"Last cosine", "number"},
                                                     {"Last rel. L2", "number"},
                                                     {"PSNR", "number"},
                                                     {"SSIM", "number"},
                                                     {"CLIP", "number"},
                                                     {"MAE", "number"}});
  for (const RunView* run : runs) add_run(table, *run);
  const std::string body = table.html();
  return section("runs", runs.size() > 1 ? "Run by run" : "Figures",
                 runs.size() > kOpenRuns
                     ? folded(fmt::format("The figures of all {} runs", runs.size()), body)
                     : body);
}

}  // namespace ditq
