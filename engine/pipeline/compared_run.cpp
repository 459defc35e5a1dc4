#include "pipeline/compared_run.h"

#include <fmt/format.h>

namespace ditq {

std::string name_of(const ComparedRun& run, std::size_t index, std::size_t runs) {
  std::string facts;
  if (run.prompt) facts += fmt::format("prompt '{}'", *run.prompt);
  if (run.seed) facts += fmt::format("{}seed {}", facts.empty() ? "" : ", ", *run.seed);
  if (facts.empty()) return runs == 1 ? "" : fmt::format("run {}", index);
  return fmt::format("run {} ({})", index, facts);
}

std::vector<std::string> new_defects(const std::vector<ComparedRun>& runs) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const std::string run = name_of(runs[i], i, runs.size());
    for (const Finding& finding : new_findings(runs[i].reference, runs[i].candidate)) {
      out.push_back(fmt::format("candidate{}{}: {}; the reference's does not show that",
                                run.empty() ? "" : ", ", run, finding.message));
    }
  }
  return out;
}

Measurements measurements_of(const std::vector<ComparedRun>& runs) {
  Measurements out;
  for (const ComparedRun& run : runs) out.runs.push_back(run.measured);
  return out;
}

}  // namespace ditq
