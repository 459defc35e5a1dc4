#include "perf/samples.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"

namespace ditq {
namespace {

/// Most pairs for which the exact distribution is counted; beyond it the normal approximation is as good.
constexpr std::size_t kExactPairs = 1600;
constexpr double kTail = 0.025;

/// Probabilities of U = 0, 1, … under the null hypothesis of the Mann-Whitney test: U counts the pairs in which the
/// first sample's value is the larger one. Of the arrangements of m + n values, those with U = u are the partitions of
/// u into at most m parts of at most n, counted here part size by part size (the Gaussian binomial coefficient).
std::vector<double> rank_distribution(std::size_t m, std::size_t n) {
  const std::size_t pairs = m * n;
  std::vector<double> ways(pairs + 1, 0);
  ways[0] = 1;
  for (std::size_t i = 1; i <= m; ++i) {
    // Times (1 - q^(n + i)), divided by (1 - q^i).
    for (std::size_t u = pairs + 1; u-- > n + i;) ways[u] -= ways[u - n - i];
    for (std::size_t u = i; u <= pairs; ++u) ways[u] += ways[u - i];
  }
  const double all = std::accumulate(ways.begin(), ways.end(), 0.0);
  for (double& one : ways) one /= all;
  return ways;
}

/// How many of the smallest ratios of pairs lie outside, and how probable the true ratio is inside.
struct Cut {
  std::size_t outside = 0;
  double confidence = 0;
};

Cut exact_cut(std::size_t m, std::size_t n) {
  const std::vector<double> probabilities = rank_distribution(m, n);
  Cut out{.outside = 0, .confidence = 1 - 2 * probabilities[0]};
  double tail = probabilities[0];
  while (out.outside + 1 < probabilities.size() / 2) {
    tail += probabilities[out.outside + 1];
    if (tail > kTail) break;
    ++out.outside;
    out.confidence = 1 - 2 * tail;
  }
  return out;
}

Cut normal_cut(std::size_t m, std::size_t n) {
  constexpr double kQuantile = 1.959963984540054;  // of 1 - kTail
  const double pairs = static_cast<double>(m) * static_cast<double>(n);
  const double deviation = std::sqrt(pairs * static_cast<double>(m + n + 1) / 12);
  const double outside = std::floor(pairs / 2 - kQuantile * deviation);
  return {.outside = static_cast<std::size_t>(std::max(0.0, outside)), .confidence = 1 - 2 * kTail};
}

double median_of(std::vector<double>& values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

}  // namespace

double Sample::spread() const {
  return median == 0 ? 0 : (most - least) / median;
}

Sample summarize(std::vector<double> values) {
  DITQ_ASSERT(!values.empty());
  Sample out;
  out.mean =
      std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  out.median = median_of(values);
  out.least = values.front();
  out.most = values.back();
  return out;
}

Json milliseconds_json(const Sample& sample) {
  return {{"median_ms", sample.median},
          {"min_ms", sample.least},
          {"max_ms", sample.most},
          {"mean_ms", sample.mean},
          {"spread", sample.spread()}};
}

std::optional<Speedup> speedup(const std::vector<double>& reference,
                               const std::vector<double>& candidate) {
  const auto is_zero = [](double value) { return value <= 0; };
  if (reference.empty() || candidate.empty() ||
      std::any_of(reference.begin(), reference.end(), is_zero) ||
      std::any_of(candidate.begin(), candidate.end(), is_zero)) {
    return std::nullopt;
  }
  std::vector<double> ratios;
  for (const double slow : reference) {
    for (const double fast : candidate) ratios.push_back(slow / fast);
  }
  std::sort(ratios.begin(), ratios.end());
  const Cut cut = ratios.size() <= kExactPairs ? exact_cut(reference.size(), candidate.size())
                                               : normal_cut(reference.size(), candidate.size());
  return Speedup{.ratio = summarize(reference).median / summarize(candidate).median,
                 .low = ratios[cut.outside],
                 .high = ratios[ratios.size() - 1 - cut.outside],
                 .confidence = cut.confidence};
}

Json to_json(const std::optional<Speedup>& speedup) {
  if (!speedup) return nullptr;
  return {{"ratio", speedup->ratio},
          {"low", speedup->low},
          {"high", speedup->high},
          {"confidence", speedup->confidence}};
}

}  // namespace ditq
