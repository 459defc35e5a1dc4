#pragma once
// Whether two measured runs may be held against each other: they may differ in the checkpoint and in nothing else.
// Source: SGLang bridge reference 7.4.

#include <string>
#include <vector>

#include "perf/perf_file.h"

namespace ditq {

/// A setting that both runs know and that differs.
struct UnfairSetting {
  std::string name;  ///< "num_inference_steps", "offload.dit_cpu_offload"
  Json baseline;
  Json candidate;
};

/// What is known about a pair.
struct Fairness {
  std::vector<UnfairSetting> differences;
  std::vector<std::string> equal;          ///< settings that both know and that agree
  std::vector<std::string> only_baseline;  ///< known by one of them: cannot be judged
  std::vector<std::string> only_candidate;

  bool is_fair() const { return differences.empty(); }
};

/// Holds every setting of one run against the other's. The number of measured steps counts as a setting of its own.
Fairness judge_fairness(const PerfFile& baseline, const PerfFile& candidate);

/// A setting that differs, in words: "seed is 42 against 43".
std::string to_sentence(const UnfairSetting& difference);

/// Raises for a pair that is not fair. Errors: unfair, naming every difference with both values.
void require_fair(const PerfFile& baseline, const PerfFile& candidate);

/// {"fair", "differences", "equal", "known_to_baseline_only", "known_to_candidate_only"}.
Json to_json(const Fairness& fairness);

}  // namespace ditq
