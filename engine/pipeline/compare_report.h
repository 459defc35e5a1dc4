#pragma once
// The documents that `ditq compare` writes: SGLang's report with ditq's parts beside it, and SGLang's short object.

#include <string>
#include <vector>

#include "pipeline/compare_runs.h"
#include "pipeline/engine.h"
#include "pipeline/requirements.h"

namespace ditq {

/// A bar and what was found of it.
struct HeldBar {
  Requirement requirement;
  Verdict verdict;
};

/// SGLang's part of the report on two checkpoints, with "settings" and "sides".
Json checkpoints_report(const CompareRequest& request, const CheckpointRuns& runs);

/// Adds what was measured: trajectory_metrics and output_metrics of the first run, "runs", "aggregate", "noise_error".
void add_measurements(Json& report,
                      const std::vector<ComparedRun>& runs,
                      const Measurements& measured);

/// Adds "gate", "versions" and "command".
void add_verdicts(Json& report,
                  const CompareRequest& request,
                  const std::vector<HeldBar>& bars,
                  const std::vector<std::string>& findings);

/// SGLang's short object, from the finished report; null where the inputs do not give a value.
Json brief_of(const Json& report, const std::string& output_json);

}  // namespace ditq
