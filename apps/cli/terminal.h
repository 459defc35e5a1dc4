#pragma once
// What the terminal can show: colours only where they are wanted, lines only as long as they fit.

#include <string>
#include <string_view>

namespace ditq {

/// Whether ANSI colours may go to a stream: it is a terminal that knows them, and NO_COLOR is not set
/// (https://no-color.org).
bool terminal_has_color(int descriptor);

/// Columns of the terminal behind a stream, between 60 and 100; 100 where it is none.
std::size_t terminal_columns(int descriptor);

/// Styles text for one stream; a disabled one returns the text as it is.
struct Style {
  bool enabled = false;

  std::string bold(std::string_view text) const { return wrap("1", text); }
  std::string dim(std::string_view text) const { return wrap("2", text); }
  std::string green(std::string_view text) const { return wrap("32", text); }
  std::string yellow(std::string_view text) const { return wrap("33", text); }
  std::string cyan(std::string_view text) const { return wrap("36", text); }

 private:
  std::string wrap(std::string_view code, std::string_view text) const;
};

/// The style for stdout; --no-color switches it off.
Style& output_style();

/// Columns that UTF-8 text takes, escape sequences left out; every code point counts as one.
std::size_t display_width(std::string_view text);

/// Text in lines of at most `width` columns, broken at spaces; longer words stand alone.
std::string wrap_text(std::string_view text, std::size_t width, std::size_t indent);

/// Writes a result to stdout at once. Errors: storage (a full disk behind a redirection).
void write_output(std::string_view text);

/// The same for people: control characters of names that a file brought are spelled out; colours stay.
void write_page(std::string_view text);

}  // namespace ditq
