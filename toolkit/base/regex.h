#pragma once
// Regular expressions with the meaning of Python's re for the patterns that checkpoint tools use, on PCRE2.

#include <memory>
#include <string>
#include <string_view>

namespace ditq {

/// A compiled pattern. Matching is bounded: a pattern that backtracks without end is an error, not a hang.
class Regex {
 public:
  /// Errors: bad_pattern with the position and the reason.
  explicit Regex(const std::string& pattern);
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

  /// re.search. Errors: pattern_too_costly.
  bool search(std::string_view text) const;
  /// re.fullmatch. Errors: pattern_too_costly.
  bool full_match(std::string_view text) const;
  /// re.sub of every match; the replacement may use \1 … \9. Errors: pattern_too_costly.
  std::string replace(std::string_view text, std::string_view replacement) const;

  const std::string& pattern() const { return pattern_; }

 private:
  struct Code;
  std::string pattern_;
  std::unique_ptr<Code> code_;
};

}  // namespace ditq
