#pragma once
// Columns for people.

#include <string>
#include <vector>

#include "terminal.h"

namespace ditq {

/// A table whose columns are as wide as their longest cell. Cells may hold colours.
class TextTable {
 public:
  enum class Align { left, right };

  /// One title and alignment per column; an empty title leaves the head blank.
  TextTable(std::vector<std::string> titles, std::vector<Align> aligns);
  /// As many cells as columns.
  void add(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }
  /// All lines, indented by two, with a dim head when some column has a title.
  std::string format(const Style& style) const;

 private:
  std::string line(const std::vector<std::string>& cells,
                   const std::vector<std::size_t>& widths) const;

  std::vector<std::string> titles_;
  std::vector<Align> aligns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace ditq
