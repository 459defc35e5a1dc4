#pragma once
// The subcommands of ditq: one table, one file each.

#include <string>
#include <vector>

#include "arguments.h"
#include "base/error.h"

namespace ditq {

/// One subcommand.
struct Command {
  std::string name;
  std::string group;    ///< title in the overview
  std::string summary;  ///< one line
  /// Runs it with what follows its name. Errors: any; the caller prints them.
  ExitCode (*run)(const Arguments& arguments);
};

/// All subcommands in the order of the overview.
const std::vector<Command>& commands();

/// What `ditq --help` prints.
std::string overview();

/// Runs a whole command line, without the program's name. Flags before the subcommand's name are taken as its own.
/// Errors: usage for an unknown subcommand, with the nearest name; any of the subcommand.
ExitCode run_command_line(const Arguments& arguments);

// One function per subcommand, defined in the file of its name.
ExitCode run_bench(const Arguments& arguments);
ExitCode run_build_fp8(const Arguments& arguments);
ExitCode run_build_nvfp4(const Arguments& arguments);
ExitCode run_compare(const Arguments& arguments);
ExitCode run_doctor(const Arguments& arguments);
ExitCode run_generate(const Arguments& arguments);
ExitCode run_inspect(const Arguments& arguments);
ExitCode run_matrix(const Arguments& arguments);
ExitCode run_quantize(const Arguments& arguments);
ExitCode run_report(const Arguments& arguments);
ExitCode run_synth(const Arguments& arguments);
ExitCode run_tokenize(const Arguments& arguments);
ExitCode run_tune(const Arguments& arguments);
ExitCode run_validate(const Arguments& arguments);
ExitCode run_version(const Arguments& arguments);

}  // namespace ditq
