// Charts over the denoising steps: how far the latents stray, and how wrong the predictions are.

#include <algorithm>
#include <cmath>
#include <functional>

#include <fmt/format.h>

#include "report/chart.h"
#include "report/html.h"
#include "report/numbers.h"
#include "report/sections.h"

namespace ditq {
namespace {

using Figure = std::function<std::optional<double>(const StepView&)>;

/// The required value of a metric's bar.
std::optional<double> bar_of(const ReportView& view, const std::string& metric) {
  for (const Node& bar : view.comparison["gate"]["bars"].items()) {
    if (bar["metric"].text() == metric) return bar["bar"].number();
  }
  return std::nullopt;
}

double median(std::vector<double>& sorted) {
  const std::size_t half = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/// Least, median and most of the runs' values at one step; NaN where a run has none that is finite.
void add_step(StepChart& chart, std::vector<double> values) {
  std::sort(values.begin(), values.end());
  chart.low.push_back(values.empty() ? NAN : values.front());
  chart.middle.push_back(values.empty() ? NAN : median(values));
  chart.high.push_back(values.empty() ? NAN : values.back());
}

std::string summary_of(const StepChart& chart, const std::string& name) {
  const auto finite = [](double value) { return std::isfinite(value); };
  const auto first = std::find_if(chart.middle.begin(), chart.middle.end(), finite);
  const auto last = std::find_if(chart.middle.rbegin(), chart.middle.rend(), finite);
  if (first == chart.middle.end()) return name + ": no finite value";
  return fmt::format("{} over {} steps, from {} to {}", name, chart.middle.size(),
                     significant(*first), significant(*last));
}

/// What a chart shows.
struct ChartFacts {
  std::string name;   ///< plain text
  std::string title;  ///< HTML
  Figure figure;
  bool logarithmic = false;
  std::optional<double> bar = {};
};

std::string run_chart(const ReportView& view, const ChartFacts& facts) {
  StepChart chart{.title = facts.title, .logarithmic = facts.logarithmic, .bar = facts.bar};
  chart.runs = view.runs.size();
  std::size_t steps = 0;
  bool any = false;
  for (const RunView& run : view.runs) steps = std::max(steps, run.steps.size());
  for (std::size_t step = 0; step < steps; ++step) {
    std::vector<double> values;
    for (const RunView& run : view.runs) {
      if (step >= run.steps.size()) continue;
      const std::optional<double> value = facts.figure(run.steps[step]);
      any = any || value;
      if (value && std::isfinite(*value)) values.push_back(*value);
    }
    add_step(chart, std::move(values));
  }
  chart.summary = summary_of(chart, facts.name);
  return any ? draw_chart(chart) : "";
}

std::string noise_chart(const ReportView& view) {
  const std::vector<Node> steps = view.comparison["noise_error"]["per_step"].items();
  StepChart chart{.title = "Prediction error <span>relative L2, at the reference's latents</span>",
                  .bar = bar_of(view, "noise_l2"),
                  .bar_name = "bar of the mean"};
  for (const Node& step : steps) {
    const std::optional<double> value = step["l2"].number();
    add_step(chart,
             value && std::isfinite(*value) ? std::vector<double>{*value} : std::vector<double>{});
  }
  chart.summary = summary_of(chart, "Prediction error");
  return steps.empty() ? "" : draw_chart(chart);
}

std::optional<double> one_minus(std::optional<double> value) {
  return value ? std::optional(1 - *value) : std::nullopt;
}

}  // namespace

std::string curves_section(const ReportView& view) {
  const std::vector<ChartFacts> charts = {
      {.name = "1 − cosine of the latents",
       .title = "1 − cosine <span>of the latents, logarithmic</span>",
       .figure = [](const StepView& step) { return one_minus(step.cosine); },
       .logarithmic = true,
       .bar = one_minus(bar_of(view, "cosine"))},
      {.name = "Relative L2 distance of the latents",
       .title = "Relative L2 <span>|candidate − reference| / |reference|</span>",
       .figure = [](const StepView& step) { return step.relative_l2; },
       .bar = bar_of(view, "relative_l2")},
      {.name = "Mean absolute error of the latents",
       .title = "MAE <span>mean absolute error of the latents</span>",
       .figure = [](const StepView& step) { return step.mae; },
       .bar = bar_of(view, "mae")},
      {.name = "Root mean square error of the latents",
       .title = "RMSE <span>root mean square error of the latents</span>",
       .figure = [](const StepView& step) { return step.rmse; },
       .bar = bar_of(view, "rmse")}};
  std::string drawn;
  for (const ChartFacts& facts : charts) drawn += run_chart(view, facts);
  drawn += noise_chart(view);
  if (drawn.empty()) return "";
  std::string lead =
      "How far the candidate's latents stray from the reference's after each denoising step. "
      "Errors "
      "of one step are carried into the next, so a slow rise is normal; a jump is not.";
  if (view.runs.size() > 1) {
    lead += fmt::format(
        " The line is the median of {} runs, the band reaches from the best run to the worst.",
        view.runs.size());
  }
  lead += " In the first chart, values up to 10⁻⁷ are rounding of float32 sums.";
  return section(
      "curves", "Step by step",
      fmt::format("<p class=\"lead\">{}</p>\n<div class=\"charts\">\n{}</div>\n", lead, drawn));
}

}  // namespace ditq
