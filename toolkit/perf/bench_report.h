#pragma once
// What the measured runs of `ditq bench` say: numbers of each side, how much faster the candidate is, and sentences that
// tell how to read them.

#include <cstddef>
#include <string>
#include <vector>

#include "perf/perf_file.h"

namespace ditq {

/// One measured run.
struct BenchRun {
  PerfFile perf;
  std::size_t visit = 0;  ///< place in the order of visits: 0, 1, …
  std::string perf_path;  ///< its perf.json; empty: not written
};

/// All runs of one side.
struct BenchSide {
  std::vector<BenchRun> runs;        ///< at least one
  std::vector<double> load_seconds;  ///< of each time it was loaded
  /// Before and after each visit: {"visit", "when", "gpu": {…, "throttled_by": [names]} or null, "cpu": {…,
  /// "throttle_events"} or null}.
  Json device_state = Json::array();
  /// "sources", "scheme", "arithmetic" ({name: layers}), "kernels", "attention_backend", …: repeated in the report.
  Json description = Json::object();
};

/// Both sides, and what was exchanged between them.
struct BenchRuns {
  BenchSide reference;
  BenchSide candidate;
  std::vector<std::string> differing;   ///< components whose checkpoints differ: "transformer"
  std::vector<std::string> components;  ///< networks that the pipeline has
};

/// One run in the place of many: medians of the whole, of each stage and each step, the highest peak.
PerfFile median_run(const std::vector<BenchRun>& runs);

/// {"reference", "candidate", "speedup", "peak_memory_ratio", "comparison", "reading"}: see docs/bench.md.
Json bench_results(const BenchRuns& runs);

/// The sentences of "reading": whether the gain lies in denoising, whether it exceeds the spread of the runs, drift between
/// visits, throttled clocks, emulated arithmetic, and what exactly was exchanged.
std::vector<std::string> bench_reading(const BenchRuns& runs);

}  // namespace ditq
