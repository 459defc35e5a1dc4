#pragma once
// The page that --help prints.

#include <string>
#include <vector>

#include "terminal.h"

namespace ditq {

/// One flag of the page.
struct HelpRow {
  std::string group;
  std::string left;   ///< "--seed N"
  std::string right;  ///< what it does
};

/// Everything that --help prints about one subcommand.
struct HelpPage {
  std::string usage;               ///< behind "usage: "
  std::vector<std::string> about;  ///< paragraphs
  std::vector<HelpRow> rows;       ///< in order; rows of one group follow each other
  std::string epilog;              ///< printed as it is
};

/// The page in lines of at most `columns`.
std::string format_help(const HelpPage& page, std::size_t columns, const Style& style);

/// Rows in two columns without titles; the left one as wide as its longest entry, at most 32.
std::string format_rows(const std::vector<HelpRow>& rows, std::size_t columns, const Style& style);

}  // namespace ditq
