#include "help_page.h"

#include <algorithm>

namespace ditq {
namespace {

constexpr std::size_t kIndent = 2;
constexpr std::size_t kGap = 2;
constexpr std::size_t kMaxLeft = 32;

std::size_t left_width(const std::vector<HelpRow>& rows) {
  std::size_t width = 0;
  for (const HelpRow& row : rows) {
    if (row.left.size() <= kMaxLeft) width = std::max(width, row.left.size());
  }
  return width;
}

std::string format_row(const HelpRow& row,
                       std::size_t left,
                       std::size_t columns,
                       const Style& style) {
  const std::size_t indent = kIndent + left + kGap;
  const std::size_t word_end = std::min(row.left.find(' '), row.left.size());
  std::string out(kIndent, ' ');
  out += style.cyan(row.left.substr(0, word_end)) + row.left.substr(word_end);
  if (row.left.size() > left)
    out += "\n" + std::string(indent, ' ');
  else
    out += std::string(left - row.left.size() + kGap, ' ');
  return out + wrap_text(row.right, columns, indent) + "\n";
}

}  // namespace

std::string format_rows(const std::vector<HelpRow>& rows, std::size_t columns, const Style& style) {
  const std::size_t left = left_width(rows);
  std::string out;
  for (const HelpRow& row : rows) out += format_row(row, left, columns, style);
  return out;
}

std::string format_help(const HelpPage& page, std::size_t columns, const Style& style) {
  constexpr std::string_view kUsage = "usage: ";
  std::string out = style.bold(kUsage) + wrap_text(page.usage, columns, kUsage.size()) + "\n";
  for (const std::string& paragraph : page.about) {
    out += "\n" + wrap_text(paragraph, columns, 0) + "\n";
  }
  const std::size_t left = left_width(page.rows);
  std::string group;
  for (const HelpRow& row : page.rows) {
    if (row.group != group) out += "\n" + style.bold(row.group) + "\n";
    group = row.group;
    out += format_row(row, left, columns, style);
  }
  if (!page.epilog.empty()) out += "\n" + page.epilog;
  return out;
}

}  // namespace ditq
