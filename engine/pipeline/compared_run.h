#pragma once
// One run of both sides, measured: what bars, defects and the report are made from.

#include <optional>
#include <string>
#include <vector>

#include "pipeline/measurements.h"
#include "pipeline/result_health.h"

namespace ditq {

/// One prompt and seed, or one pair of files.
struct ComparedRun {
  std::optional<std::string> prompt;  ///< nothing where files do not tell
  std::optional<std::uint64_t> seed;
  RunMeasurements measured;
  ResultHealth reference;
  ResultHealth candidate;
  std::string reference_file;  ///< the picture, or what was read; empty: none is kept
  std::string candidate_file;
};

/// "run 2 (prompt 'a cat', seed 7)", or "" where there is one run that files do not tell more of.
std::string name_of(const ComparedRun& run, std::size_t index, std::size_t runs);

/// Defects that the candidate has and the reference has not, each a sentence that names the run.
std::vector<std::string> new_defects(const std::vector<ComparedRun>& runs);

/// The measured numbers of all runs.
Measurements measurements_of(const std::vector<ComparedRun>& runs);

}  // namespace ditq
