#pragma once
// The search of `ditq tune` for the smallest set of groups to keep in full precision. No networks here: what a set's
// error is, the caller measures.

#include <cstddef>
#include <functional>
#include <set>
#include <vector>

#include "pipeline/tune_groups.h"

namespace ditq {

/// Groups that are kept, by index.
using KeptGroups = std::set<std::size_t>;

/// What a search starts from.
struct SearchInput {
  std::vector<TuneGroup> groups;
  std::vector<double> alone;   ///< error with only this group quantized
  double bar = 0;              ///< the error must not be above it
  bool strict = false;         ///< nor equal to it
  std::size_t most_runs = 64;  ///< evaluations that the refinement may take
};

/// A set and what was measured of it.
struct SearchStep {
  KeptGroups kept;
  double error = 0;
};

struct SearchResult {
  SearchStep best;                ///< meets the bar
  std::vector<SearchStep> tried;  ///< every set that was evaluated, in order
};

/// Bytes and milliseconds of a set.
LayerCost cost_of(const KeptGroups& kept, const std::vector<TuneGroup>& groups);

/// Groups in the order in which keeping them pays: squared error removed per byte, most first.
std::vector<std::size_t> greedy_order(const SearchInput& input);

/// Finds a small set, in bytes and then in time, whose measured error meets the bar. Quantization errors of layers are
/// nearly independent, so their squares nearly add: error² = c · sum of the quantized groups' alone². c is taken from the
/// last measurement.
/// 1. Greedy: keep groups in greedy_order until the model meets the bar; measure; go on until the measurement does.
/// 2. Refinement: give up single groups, the most bytes first, and exchange a kept group for a cheaper one, wherever the
///    model stays within 3 % of the bar and the measurement meets it. Ends when neither helps, or after most_runs.
/// `evaluate` measures a set's error; keeping every group has error 0 by definition. Errors: those of `evaluate`.
SearchResult search_smallest(const SearchInput& input,
                             const std::function<double(const KeptGroups&)>& evaluate);

}  // namespace ditq
