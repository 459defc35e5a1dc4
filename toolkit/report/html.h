#pragma once
// Pieces of HTML. Text from outside goes through escaped() and nowhere else.

#include <string>
#include <string_view>
#include <vector>

namespace ditq {

/// Text for an element's content or a quoted attribute: markup is spelled out, control characters and bytes that are no
/// UTF-8 become U+FFFD.
std::string escaped(std::string_view text);

/// The same, isolated, so that a text's writing direction stays its own.
std::string foreign(std::string_view text);

/// A table. Cells are HTML already.
class HtmlTable {
 public:
  /// One column: its title and how it is set ("", "number", "name").
  struct Column {
    std::string title;
    std::string style = {};
  };

  /// `caption` is read by screen readers, and not shown.
  HtmlTable(std::string caption, std::vector<Column> columns);
  /// The first cell is the row's header.
  void add(const std::vector<std::string>& cells);
  bool empty() const { return rows_.empty(); }
  /// In a box that scrolls by itself where the table is wider than the page; on a phone a row of many columns becomes a
  /// list of names and values.
  std::string html() const;

 private:
  std::string caption_;
  std::vector<Column> columns_;
  bool stacking_;  ///< too many columns for a phone
  std::string rows_;
};

/// <section id="…"><h2>title</h2>body</section>.
std::string section(const std::string& id, const std::string& title, const std::string& body);

/// <details><summary>summary</summary>body</details>.
std::string folded(const std::string& summary, const std::string& body);

}  // namespace ditq
