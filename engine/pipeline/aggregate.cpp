#include "pipeline/aggregate.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "pipeline/confidence.h"
#include "pipeline/run_metrics.h"

namespace ditq {
namespace {

Json summary(const RunMetric& metric, const std::vector<RunValue>& values) {
  const std::vector<double> numbers = numbers_of(values);
  const bool finite = std::all_of(numbers.begin(), numbers.end(),
                                  [](double value) { return std::isfinite(value); });
  const RunValue worst = worst_of(values, metric.larger_is_better);
  return {{"mean", mean(numbers)},
          {"confidence_95",
           finite && numbers.size() > 1 ? Json(confidence_95(numbers)) : Json(nullptr)},
          {"worst", worst.value},
          {"worst_run", worst.run},
          {metric.of_steps ? "worst_step" : "worst_frame", worst.at},
          {"runs", values.size()}};
}

}  // namespace

Json aggregate_json(const Measurements& measured) {
  Json out = Json::object();
  for (const RunMetric& metric : run_metrics()) {
    const std::vector<RunValue> values = value_per_run(metric, measured, /*last=*/false);
    if (values.empty()) continue;
    out[std::string(metric.name)] = summary(metric, values);
    if (!metric.of_steps) continue;
    out["last." + std::string(metric.name)] =
        summary(metric, value_per_run(metric, measured, /*last=*/true));
  }
  return out;
}

}  // namespace ditq
