#include "report/html.h"

#include <cstdint>

#include <fmt/format.h>

namespace ditq {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

/// Bytes of the well-formed UTF-8 character at the front of `text`; 0: there is none.
std::size_t character_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < length) return 0;
  std::uint32_t point = first & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U) return 0;
    point = point << 6 | (byte(i) & 0x3FU);
  }
  const bool overlong = (length == 3 && point < 0x800) || (length == 4 && point < 0x10000);
  const bool surrogate = point >= 0xD800 && point < 0xE000;
  return overlong || surrogate || point > 0x10FFFF ? 0 : length;
}

std::string_view spelled(char c) {
  switch (c) {
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '&':
      return "&amp;";
    case '"':
      return "&quot;";
    case '\'':
      return "&#39;";
    default:
      return {};
  }
}

/// C0 but tab and newline, DEL, and C1 (U+0080 to U+009F, two bytes of UTF-8).
bool is_control(std::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  if (character.size() == 1) {
    return (first < 0x20 && first != '\n' && first != '\t') || first == 0x7F;
  }
  return first == 0xC2 && static_cast<unsigned char>(character[1]) < 0xA0;
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = character_length(text);
    const std::string_view character = text.substr(0, length == 0 ? 1 : length);
    const std::string_view name = spelled(character[0]);
    if (length == 0 || is_control(character))
      out += kReplacement;
    else
      out += name.empty() ? character : name;
    text.remove_prefix(character.size());
  }
  return out;
}

std::string foreign(std::string_view text) {
  return "<bdi>" + escaped(text) + "</bdi>";
}

HtmlTable::HtmlTable(std::string caption, std::vector<Column> columns)
    : caption_(std::move(caption)), columns_(std::move(columns)), stacking_(columns_.size() > 3) {}

void HtmlTable::add(const std::vector<std::string>& cells) {
  // A style sheet that sets rows as lists takes the meaning of a table away; roles keep it.
  rows_ += stacking_ ? "<tr role=\"row\">" : "<tr>";
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::string& kind = columns_[i].style;
    std::string attributes = kind.empty() ? "" : fmt::format(" class=\"{}\"", kind);
    if (stacking_) attributes += i == 0 ? " role=\"rowheader\"" : " role=\"cell\"";
    if (stacking_ && i > 0) {
      attributes += fmt::format(" data-name=\"{}\"", escaped(columns_[i].title));
    }
    rows_ += i == 0 ? fmt::format("<th scope=\"row\"{}>{}</th>", attributes, cells[i])
                    : fmt::format("<td{}>{}</td>", attributes, cells[i]);
  }
  rows_ += "</tr>\n";
}

std::string HtmlTable::html() const {
  std::string head;
  for (const Column& column : columns_) {
    head += fmt::format("<th scope=\"col\"{}>{}</th>",
                        column.style.empty() ? "" : fmt::format(" class=\"{}\"", column.style),
                        escaped(column.title));
  }
  return fmt::format(
      "<div class=\"scroll\"><table{}><caption>{}</caption>\n<thead><tr>{}</tr></thead>\n"
      "<tbody>\n{}</tbody></table></div>\n",
      stacking_ ? " class=\"stacking\" role=\"table\"" : "", escaped(caption_), head, rows_);
}

std::string section(const std::string& id, const std::string& title, const std::string& body) {
  return fmt::format(
      "<section id=\"{0}\" aria-labelledby=\"{0}-title\">\n<h2 id=\"{0}-title\">{1}</h2>\n"
      "{2}</section>\n",
      id, escaped(title), body);
}

std::string folded(const std::string& summary, const std::string& body) {
  return fmt::format("<details><summary>{}</summary>\n{}</details>\n", escaped(summary), body);
}

}  // namespace ditq
