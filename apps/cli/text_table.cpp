#include "text_table.h"

#include <algorithm>

#include "base/error.h"

namespace ditq {

TextTable::TextTable(std::vector<std::string> titles, std::vector<Align> aligns)
    : titles_(std::move(titles)), aligns_(std::move(aligns)) {
  DITQ_ASSERT(titles_.size() == aligns_.size());
}

void TextTable::add(std::vector<std::string> cells) {
  DITQ_ASSERT(cells.size() == titles_.size());
  rows_.push_back(std::move(cells));
}

std::string TextTable::line(const std::vector<std::string>& cells,
                            const std::vector<std::size_t>& widths) const {
  std::string out = "  ";
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::string padding(widths[i] - display_width(cells[i]), ' ');
    out += aligns_[i] == Align::right ? padding + cells[i] : cells[i] + padding;
    out += "  ";
  }
  out.erase(out.find_last_not_of(' ') + 1);
  return out + "\n";
}

std::string TextTable::format(const Style& style) const {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < titles_.size(); ++i) {
    std::size_t width = display_width(titles_[i]);
    for (const auto& row : rows_) width = std::max(width, display_width(row[i]));
    widths.push_back(width);
  }
  std::string out;
  const auto has_text = [](const std::string& title) { return !title.empty(); };
  if (std::any_of(titles_.begin(), titles_.end(), has_text)) {
    std::vector<std::string> head;
    for (const std::string& title : titles_) head.push_back(style.dim(title));
    out += line(head, widths);
  }
  for (const auto& row : rows_) out += line(row, widths);
  return out;
}

}  // namespace ditq
