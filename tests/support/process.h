#pragma once
// Runs a program as a user would, for tests of the command line.

#include <map>
#include <string>
#include <vector>

namespace ditq::test {

/// How a program ended and what it said.
struct ProcessResult {
  int exit_code = -1;  ///< 128 + the signal where one ended it
  std::string out;     ///< stdout
  std::string err;     ///< stderr
};

/// How to run it.
struct ProcessOptions {
  std::map<std::string, std::string> environment;  ///< added to the caller's
  std::string stdout_path;                         ///< stdout goes to this file instead of `out`
  /// Sent as soon as stderr holds `signal_after`; 0: none.
  int signal = 0;
  std::string signal_after;
};

/// Runs argv[0] with the rest as arguments, stdin empty. Throws std::runtime_error where it cannot be started.
ProcessResult run_process(const std::vector<std::string>& argv, const ProcessOptions& options = {});

}  // namespace ditq::test
