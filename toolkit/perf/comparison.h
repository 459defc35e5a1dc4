#pragma once
// Two runs side by side, with the thresholds of SGLang's comparison tools. Source: SGLang bridge reference 7.3.

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "perf/perf_file.h"

namespace ditq {

enum class Change { better, similar, worse };

/// "better", "similar" or "worse".
const char* name(Change change);

/// Of whole runs: better below -2 %, worse above +2 %. A baseline of 0 changes by 0 %.
Change end_to_end_change(double baseline_ms, double candidate_ms);

/// Of stages: worse above max(1.1 * baseline, baseline + 120 ms), better below min(0.9 * baseline, baseline - 120 ms).
Change stage_change(double baseline_ms, double candidate_ms);

/// Where the time of a run went, in milliseconds.
struct PerfParts {
  double text_ms = 0;  ///< stages whose name ends in TextEncodingStage
  /// Stages whose name ends in DenoisingStage or RefinementStage and does not begin with Before; without any, the sum
  /// of denoise_steps_ms, or the denoising loop of an old dump.
  double denoise_ms = 0;
  double decode_ms = 0;  ///< stages whose name ends in DecodingStage
  double other_ms = 0;   ///< what is left of the whole run, at least 0
};
PerfParts parts_of(const PerfFile& file);

/// One stage; absent ones take 0 ms.
struct StageRow {
  std::string name;
  double baseline_ms = 0;
  double candidate_ms = 0;
  std::size_t baseline_entries = 0;  ///< entries of that name; 0: the run has no such stage
  std::size_t candidate_entries = 0;
  Change change = Change::similar;
};

/// A pair of runs.
struct PerfComparison {
  std::string baseline;  ///< paths
  std::string candidate;
  double baseline_ms = 0;  ///< end to end
  double candidate_ms = 0;
  Change change = Change::similar;
  PerfParts baseline_parts;
  PerfParts candidate_parts;
  std::optional<double> baseline_peak_gb;  ///< highest peak_reserved_mb / 1024
  std::optional<double> candidate_peak_gb;
  std::vector<StageRow>
      stages;  ///< in the candidate's order, then those that only the baseline has
};

/// Sets two runs side by side; whether that is fair is another question (fairness.h).
PerfComparison compare_perf(const PerfFile& baseline, const PerfFile& candidate);

/// Milliseconds, changes in percent (null of a baseline of 0) and verdicts.
Json to_json(const PerfComparison& comparison);

}  // namespace ditq
