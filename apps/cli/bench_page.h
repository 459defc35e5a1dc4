#pragma once
// Benchmarks for people.

#include <string>

#include "base/json.h"
#include "perf/comparison.h"
#include "perf/fairness.h"
#include "terminal.h"

namespace ditq {

/// Two perf.json files side by side, and what could not be judged about them.
std::string comparison_page(const PerfComparison& comparison,
                            const Fairness& fairness,
                            const Style& style);

/// The report of `ditq bench`: medians, spread, ratios, and how to read them.
std::string bench_page(const Json& report, const Style& style);

}  // namespace ditq
