#include "base/log.h"

#include <cstdio>
#include <string>

#include "base/printable.h"
#include "base/progress.h"

namespace ditq {
namespace {

void write_line(std::string_view color, std::string_view prefix, std::string_view text) {
  const std::string message = printable(text);
  ProgressBar::clear_line();
  const bool colored = log_settings().color && !color.empty();
  std::fprintf(stderr, "%.*s%.*s%s%.*s\n", colored ? static_cast<int>(color.size()) : 0,
               color.data(), static_cast<int>(prefix.size()), prefix.data(),
               colored ? "\033[0m" : "", static_cast<int>(message.size()), message.data());
}

}  // namespace

LogSettings& log_settings() {
  static LogSettings settings;
  return settings;
}

void log_info(std::string_view message) {
  if (!log_settings().quiet) write_line("", "", message);
}

void log_verbose(std::string_view message) {
  if (log_settings().verbose) write_line("", "", message);
}

void log_warning(std::string_view message) {
  write_line("\033[33m", "warning: ", message);
}

void log_error(std::string_view message) {
  write_line("\033[31m", "ditq: error: ", message);
}

}  // namespace ditq
