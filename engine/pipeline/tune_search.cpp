#include "pipeline/tune_search.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <tuple>

#include "base/error.h"

namespace ditq {
namespace {

/// How far above the bar the model may predict a set that is still worth a measurement.
constexpr double kMargin = 1.03;

class Search {
 public:
  Search(const SearchInput& input, const std::function<double(const KeptGroups&)>& evaluate)
      : input_(input), evaluate_(evaluate) {}

  SearchResult run() {
    grow();
    bool better = true;
    while (better && runs_left()) better = give_up_one() || exchange_one();
    return std::move(result_);
  }

 private:
  bool meets(double error) const {
    return input_.strict ? error < input_.bar : error <= input_.bar;
  }
  bool runs_left() const { return result_.tried.size() < input_.most_runs; }

  /// Sum of the quantized groups' squared errors.
  double squares(const KeptGroups& kept) const {
    double sum = 0;
    for (std::size_t i = 0; i < input_.alone.size(); ++i) {
      if (!kept.contains(i)) sum += input_.alone[i] * input_.alone[i];
    }
    return sum;
  }
  double predicted(const KeptGroups& kept) const { return std::sqrt(factor_ * squares(kept)); }

  double measure(const KeptGroups& kept) {
    const auto known = known_.find(kept);
    if (known != known_.end()) return known->second;
    const bool all = kept.size() == input_.groups.size();
    const double error = all ? 0 : evaluate_(kept);
    const double sum = squares(kept);
    if (sum > 0 && std::isfinite(error)) factor_ = error * error / sum;
    known_.emplace(kept, error);
    result_.tried.push_back({kept, error});
    return error;
  }

  /// Step 1: the last set meets the bar.
  void grow() {
    KeptGroups kept;
    double error = measure(kept);
    const std::vector<std::size_t> order = greedy_order(input_);
    for (std::size_t next = 0; !meets(error) && next < order.size();) {
      do {
        kept.insert(order[next++]);
      } while (next < order.size() && predicted(kept) > input_.bar);
      error = measure(kept);
    }
    // Keeping everything has no error at all; only a bar below zero is missed then.
    result_.best = {kept, error};
  }

  /// Measures a set that the model thinks worth it, and takes it where it meets the bar.
  bool take(const KeptGroups& kept) {
    if (!runs_left() || predicted(kept) > input_.bar * kMargin || known_.contains(kept)) {
      return false;
    }
    const double error = measure(kept);
    if (!meets(error)) return false;
    result_.best = {kept, error};
    return true;
  }

  /// Kept groups, those that cost most first.
  std::vector<std::size_t> dearest_first() const {
    std::vector<std::size_t> order(result_.best.kept.begin(), result_.best.kept.end());
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return std::tuple(input_.groups[b].cost.bytes, input_.alone[a], a) <
             std::tuple(input_.groups[a].cost.bytes, input_.alone[b], b);
    });
    return order;
  }

  bool give_up_one() {
    for (const std::size_t group : dearest_first()) {
      KeptGroups kept = result_.best.kept;
      kept.erase(group);
      if (input_.groups[group].cost.bytes > 0 && take(kept)) return true;
    }
    return false;
  }

  /// Whether `a` in the place of `b` makes a set smaller, or as small and faster.
  bool is_cheaper(std::size_t a, std::size_t b) const {
    const LayerCost& ours = input_.groups[a].cost;
    const LayerCost& theirs = input_.groups[b].cost;
    if (ours.bytes != theirs.bytes) return ours.bytes < theirs.bytes;
    // Times are measured: a fiftieth is no difference.
    return ours.milliseconds < theirs.milliseconds - 0.02 * std::abs(theirs.milliseconds);
  }

  bool exchange_one() {
    for (const std::size_t group : dearest_first()) {
      std::vector<std::size_t> others;
      for (std::size_t i = 0; i < input_.groups.size(); ++i) {
        if (!result_.best.kept.contains(i) && is_cheaper(i, group)) others.push_back(i);
      }
      std::sort(others.begin(), others.end(), [&](std::size_t a, std::size_t b) {
        return std::pair(input_.groups[a].cost.bytes, -input_.alone[a]) <
               std::pair(input_.groups[b].cost.bytes, -input_.alone[b]);
      });
      for (const std::size_t other : others) {
        KeptGroups kept = result_.best.kept;
        kept.erase(group);
        kept.insert(other);
        if (take(kept)) return true;
      }
    }
    return false;
  }

  const SearchInput& input_;
  const std::function<double(const KeptGroups&)>& evaluate_;
  double factor_ = 1;
  std::map<KeptGroups, double> known_;
  SearchResult result_;
};

}  // namespace

LayerCost cost_of(const KeptGroups& kept, const std::vector<TuneGroup>& groups) {
  LayerCost sum;
  for (const std::size_t group : kept) {
    sum.bytes += groups[group].cost.bytes;
    sum.milliseconds += groups[group].cost.milliseconds;
  }
  return sum;
}

std::vector<std::size_t> greedy_order(const SearchInput& input) {
  DITQ_ASSERT(input.alone.size() == input.groups.size());
  std::vector<std::size_t> order(input.groups.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto worth = [&](std::size_t i) {
    const double square = input.alone[i] * input.alone[i];
    return square / static_cast<double>(std::max<std::uint64_t>(input.groups[i].cost.bytes, 1));
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return worth(a) > worth(b); });
  return order;
}

SearchResult search_smallest(const SearchInput& input,
                             const std::function<double(const KeptGroups&)>& evaluate) {
  return Search(input, evaluate).run();
}

}  // namespace ditq
