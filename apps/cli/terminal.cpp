#include "terminal.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <sys/ioctl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/printable.h"
#include "base/progress.h"

namespace ditq {

bool terminal_has_color(int descriptor) {
  const char* no_color = std::getenv("NO_COLOR");
  if (no_color != nullptr && *no_color != '\0') return false;
  const char* terminal = std::getenv("TERM");
  return ::isatty(descriptor) == 1 && terminal != nullptr && std::strcmp(terminal, "dumb") != 0;
}

std::size_t terminal_columns(int descriptor) {
  winsize size{};
  if (::ioctl(descriptor, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 100;
  return std::clamp<std::size_t>(size.ws_col, 60, 100);
}

std::string Style::wrap(std::string_view code, std::string_view text) const {
  if (!enabled || text.empty()) return std::string(text);
  std::string out = "\033[";
  out.append(code).append("m").append(text).append("\033[0m");
  return out;
}

Style& output_style() {
  static Style style{.enabled = terminal_has_color(STDOUT_FILENO)};
  return style;
}

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\033') {
      i = std::min(text.find('m', i), text.size());
      continue;
    }
    const bool continues = (static_cast<unsigned char>(text[i]) & 0xc0U) == 0x80U;
    if (!continues) ++width;
  }
  return width;
}

std::string wrap_text(std::string_view text, std::size_t width, std::size_t indent) {
  std::string out;
  std::size_t column = indent;
  std::size_t position = 0;
  while (position < text.size()) {
    const std::size_t end = std::min(text.find(' ', position), text.size());
    const std::string_view word = text.substr(position, end - position);
    const bool at_start = column == indent;
    if (!at_start && column + 1 + display_width(word) > width) {
      out.append("\n").append(indent, ' ');
      column = indent;
    } else if (!at_start) {
      out += ' ';
      ++column;
    }
    out += word;
    column += display_width(word);
    position = end + 1;
  }
  return out;
}

void write_output(std::string_view text) {
  ProgressBar::clear_line();
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (!written || std::fflush(stdout) != 0) {
    throw Error(ErrorCode::storage, "the result could not be written to standard output",
                {.found = std::strerror(errno)});
  }
}

void write_page(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t plain = std::min(text.find('\033'), text.size());
    out += printable(text.substr(0, plain));
    text.remove_prefix(plain);
    // ESC [ digits m: what Style writes.
    const std::size_t end = text.substr(0, 2) == "\033[" ? text.find_first_not_of("0123456789", 2)
                                                         : std::string_view::npos;
    const bool color = end != std::string_view::npos && text[end] == 'm';
    const std::size_t taken = color ? end + 1 : std::min<std::size_t>(text.size(), 1);
    out += color ? std::string(text.substr(0, taken)) : printable(text.substr(0, taken));
    text.remove_prefix(taken);
  }
  write_output(out);
}

}  // namespace ditq
