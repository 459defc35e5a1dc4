#pragma once
// What a few repeated measurements say: medians, and how sure a ratio of two of them is.

#include <optional>
#include <vector>

#include "base/json.h"

namespace ditq {

/// Repeated measurements of one thing.
struct Sample {
  double median = 0;
  double least = 0;
  double most = 0;
  double mean = 0;

  /// (most - least) / median; 0 of a median of 0.
  double spread() const;
};

/// At least one value.
Sample summarize(std::vector<double> values);

/// {"median_ms", "min_ms", "max_ms", "mean_ms", "spread"}.
Json milliseconds_json(const Sample& sample);

/// How many times faster the candidate is.
struct Speedup {
  double ratio = 1;  ///< median of the reference / median of the candidate
  double low = 1;    ///< interval of the true ratio
  double high = 1;
  /// Probability that the interval holds the true ratio, if runs are independent: at least 0.95 where there are enough
  /// runs (four of each), and what the widest interval, slowest against fastest run, gives otherwise.
  double confidence = 0;

  /// Whether the interval holds 1: no difference is shown.
  bool is_within_spread() const { return low <= 1 && high >= 1; }
};

/// The ratio of two samples with the interval that belongs to the Mann-Whitney test: order statistics of the ratios of
/// all pairs, with no assumption about how the times are distributed. Nothing where a time is 0.
/// Source: Hodges and Lehmann, Estimates of location based on rank tests, 1963.
std::optional<Speedup> speedup(const std::vector<double>& reference,
                               const std::vector<double>& candidate);

/// {"ratio", "low", "high", "confidence"}, or null.
Json to_json(const std::optional<Speedup>& speedup);

}  // namespace ditq
