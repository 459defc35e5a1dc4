#pragma once
// Runs this program again, for one subcommand: each stage of a validation gets a process of its own, so that its peak
// memory is its own and its command can be typed by hand.

#include <string>
#include <vector>

namespace ditq {

/// Runs `program` with these arguments and waits; what it prints on stdout becomes the file `output`, stderr is shared.
/// SIGTERM is passed on; the child ends when this process does. Returns the exit code, 128 + n after signal n.
/// Errors: storage (the file or the process cannot be made), interrupted (once the child has ended).
int run_child(const std::string& program,
              const std::vector<std::string>& arguments,
              const std::string& output);

/// The path of the running program. Errors: storage (no /proc).
std::string running_program();

/// Words as a shell reads them back.
std::string shell_words(const std::vector<std::string>& words);

}  // namespace ditq
