#include "base/printable.h"

#include <fmt/format.h>

namespace ditq {
namespace {

unsigned char byte_at(std::string_view text, std::size_t at) {
  return static_cast<unsigned char>(text[at]);
}

/// U+0080 to U+009F in UTF-8: C2 80 to C2 9F.
bool is_c1(std::string_view text, std::size_t at) {
  return byte_at(text, at) == 0xC2 && at + 1 < text.size() && byte_at(text, at + 1) >= 0x80 &&
         byte_at(text, at + 1) < 0xA0;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size(); ++at) {
    const unsigned char c = byte_at(text, at);
    const bool c0 = c < 0x20 && c != '\n' && c != '\t';
    if (is_c1(text, at)) {
      out += fmt::format("\\x{:02x}", byte_at(text, ++at));
    } else if (c0 || c == 0x7F) {
      out += fmt::format("\\x{:02x}", c);
    } else {
      out += text[at];
    }
  }
  return out;
}

std::string printable(std::string_view text, std::size_t limit) {
  if (text.size() <= limit) return printable(text);
  while (limit > 0 && (byte_at(text, limit) & 0xC0) == 0x80) --limit;
  return printable(text.substr(0, limit)) + "…";
}

}  // namespace ditq
