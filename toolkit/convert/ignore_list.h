#pragma once
// The ignore list of a quantization config, matched the way SGLang's FP8 builder matches it.

#include <string>
#include <unordered_set>
#include <vector>

#include "base/regex.h"

namespace ditq {

/// Most entries that are patterns, not names: each is compiled.
inline constexpr std::size_t kMaxIgnorePatterns = 1000;

/// Entries are regular expressions in which "." means itself and "*" any run of characters; whole names match.
/// Source: bridge reference 2.5. The runtime matches differently (4.3): there all else is literal.
class IgnoreList {
 public:
  /// `path` names the document in errors. Errors: bad_config (an entry that is no regular expression, or more
  /// than kMaxIgnorePatterns of them).
  IgnoreList(const std::vector<std::string>& entries, const std::string& path);

  /// Whether some entry matches one of the names.
  bool matches(const std::vector<std::string>& names) const;

 private:
  std::unordered_set<std::string> literals_;  // entries without metacharacters: nearly all of them
  std::vector<Regex> patterns_;
};

}  // namespace ditq
