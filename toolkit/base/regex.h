#pragma once
// Regular expressions with the meaning of Python's re for the patterns that checkpoint tools use, on PCRE2.

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace ditq {

/// Longest pattern, in bytes; those of exports have at most a few hundred.
inline constexpr std::size_t kMaxPattern = 4096;
/// Longest text that patterns are held against, in bytes: what a match may cost grows with its square.
inline constexpr std::size_t kMaxMatchedText = 1024;

/// A compiled pattern. Matching is bounded: a pattern that backtracks without end is an error, not a hang.
class Regex {
 public:
  /// Errors: bad_pattern with the position and the reason, or for more than kMaxPattern bytes.
  explicit Regex(const std::string& pattern);
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

  /// re.search. Errors: pattern_too_costly, also for more than kMaxMatchedText bytes; bad_text for what is not UTF-8.
  bool search(std::string_view text) const;
  /// re.fullmatch. Errors: as search.
  bool full_match(std::string_view text) const;
  /// re.sub of every match; the replacement may use \1 … \9. Errors: as search.
  std::string replace(std::string_view text, std::string_view replacement) const;

  const std::string& pattern() const { return pattern_; }

 private:
  struct Code;
  std::string pattern_;
  std::unique_ptr<Code> code_;
};

}  // namespace ditq
