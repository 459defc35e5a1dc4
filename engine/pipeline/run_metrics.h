#pragma once
// The metrics that bars and the report's summary know by name, and their values. No torch here.

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "pipeline/measurements.h"

namespace ditq {

/// A metric that every step or every frame of a run has.
struct RunMetric {
  std::string_view name;  ///< "cosine", "psnr", …
  bool of_steps;          ///< of the latents after each step; else of each frame
  bool larger_is_better;
};

/// All of them, those of steps first.
std::span<const RunMetric> run_metrics();

/// The metric of this name, or nullptr.
const RunMetric* find_run_metric(std::string_view name);

/// Its values in order of steps or frames; empty where the run does not give it.
std::vector<double> values_of(const RunMetric& metric, const RunMeasurements& run);

/// A value and where it was found.
struct FoundValue {
  std::size_t index = 0;
  double value = 0;
};

/// The first NaN, else the first of the worst of one value or more.
FoundValue worst_of(const std::vector<double>& values, bool larger_is_better);

/// A metric's value in one run.
struct RunValue {
  std::size_t run = 0;
  std::size_t at = 0;  ///< step or frame
  double value = 0;
};

/// Of every run that has the metric its worst step's or frame's value; with `last` its last step's.
std::vector<RunValue> value_per_run(const RunMetric& metric,
                                    const Measurements& measured,
                                    bool last);

/// The worst of one value or more.
RunValue worst_of(const std::vector<RunValue>& values, bool larger_is_better);

/// The numbers alone.
std::vector<double> numbers_of(const std::vector<RunValue>& values);

}  // namespace ditq
