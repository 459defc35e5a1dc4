#pragma once
// Messages for people, all on stderr. Results meant for programs go to stdout, never through here.

#include <string_view>

namespace ditq {

/// What the run says on stderr; set once by the command line.
struct LogSettings {
  bool quiet = false;     ///< warnings and errors only
  bool verbose = false;   ///< decisions too
  bool color = false;     ///< ANSI colours
  bool progress = false;  ///< progress bars
};

LogSettings& log_settings();

void log_info(std::string_view message);     ///< dropped with --quiet
void log_verbose(std::string_view message);  ///< only with --verbose
void log_warning(std::string_view message);  ///< always, prefixed "warning:"
void log_error(std::string_view message);    ///< always, prefixed "ditq: error:"

}  // namespace ditq
