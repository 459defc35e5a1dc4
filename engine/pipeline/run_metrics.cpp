#include "pipeline/run_metrics.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"

namespace ditq {
namespace {

constexpr std::array<RunMetric, 11> kMetrics{{
    {"cosine", true, true},
    {"mae", true, false},
    {"rmse", true, false},
    {"mse", true, false},
    {"max_abs", true, false},
    {"l2", true, false},
    {"relative_l2", true, false},
    {"psnr", false, true},
    {"ssim", false, true},
    {"pixel_mae", false, false},
    {"clip", false, true},
}};

double value_of(std::string_view name, const StepMetrics& step) {
  if (name == "cosine") return step.cosine_similarity;
  if (name == "mae") return step.mae;
  if (name == "rmse") return step.rmse;
  if (name == "mse") return step.mse;
  if (name == "max_abs") return step.max_abs;
  if (name == "l2") return step.l2;
  DITQ_ASSERT(name == "relative_l2");
  return step.relative_l2;
}

bool worse(double value, double than, bool larger_is_better) {
  if (std::isnan(than)) return false;
  if (std::isnan(value)) return true;
  return larger_is_better ? value < than : value > than;
}

}  // namespace

std::span<const RunMetric> run_metrics() {
  return kMetrics;
}

const RunMetric* find_run_metric(std::string_view name) {
  const auto* found = std::find_if(kMetrics.begin(), kMetrics.end(),
                                   [&](const RunMetric& metric) { return metric.name == name; });
  return found == kMetrics.end() ? nullptr : found;
}

std::vector<double> values_of(const RunMetric& metric, const RunMeasurements& run) {
  std::vector<double> out;
  if (metric.of_steps) {
    if (!run.trajectory) return out;
    for (const StepMetrics& step : run.trajectory->steps)
      out.push_back(value_of(metric.name, step));
    return out;
  }
  if (!run.output) return out;
  if (metric.name == "ssim") return run.output->ssim;
  if (metric.name == "clip") return run.output->clip;
  for (const FrameMetrics& frame : run.output->frames) {
    out.push_back(metric.name == "psnr" ? frame.psnr_db : frame.mae);
  }
  return out;
}

FoundValue worst_of(const std::vector<double>& values, bool larger_is_better) {
  DITQ_ASSERT(!values.empty());
  FoundValue out{0, values.front()};
  for (std::size_t i = 1; i < values.size(); ++i) {
    if (worse(values[i], out.value, larger_is_better)) out = {i, values[i]};
  }
  return out;
}

std::vector<RunValue> value_per_run(const RunMetric& metric,
                                    const Measurements& measured,
                                    bool last) {
  std::vector<RunValue> out;
  for (std::size_t run = 0; run < measured.runs.size(); ++run) {
    const std::vector<double> values = values_of(metric, measured.runs[run]);
    if (values.empty()) continue;
    const FoundValue found = last ? FoundValue{values.size() - 1, values.back()}
                                  : worst_of(values, metric.larger_is_better);
    out.push_back({.run = run, .at = found.index, .value = found.value});
  }
  return out;
}

RunValue worst_of(const std::vector<RunValue>& values, bool larger_is_better) {
  return values[worst_of(numbers_of(values), larger_is_better).index];
}

std::vector<double> numbers_of(const std::vector<RunValue>& values) {
  std::vector<double> out;
  for (const RunValue& value : values) out.push_back(value.value);
  return out;
}

}  // namespace ditq
