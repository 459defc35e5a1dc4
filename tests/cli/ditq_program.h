#pragma once
// Runs the ditq that this build made.

#include <string>
#include <vector>

#include "support/paths.h"
#include "support/process.h"

namespace ditq::test {

/// Runs ditq with these arguments.
inline ProcessResult ditq(std::vector<std::string> arguments, const ProcessOptions& options = {}) {
  arguments.insert(arguments.begin(), DITQ_PROGRAM);
  return run_process(arguments, options);
}

}  // namespace ditq::test
