// Source: CPython Lib/fnmatch.py @ 3.11 (translate).

#include "ptq/wildcard.h"

#include <cstddef>

namespace ditq {
namespace {

/// The length of the set that begins at pattern[0] == '[', or 0 where it is not closed.
std::size_t set_length(std::string_view pattern) {
  std::size_t end = 1;
  if (end < pattern.size() && pattern[end] == '!') ++end;
  if (end < pattern.size() && pattern[end] == ']') ++end;  // a bracket that comes first is a member
  while (end < pattern.size() && pattern[end] != ']') ++end;
  return end < pattern.size() ? end + 1 : 0;
}

/// Whether a set, brackets included, has the character.
bool set_has(std::string_view set, char c) {
  set = set.substr(1, set.size() - 2);
  const bool negated = set.starts_with('!');
  if (negated) set.remove_prefix(1);
  bool found = false;
  for (std::size_t i = 0; i < set.size(); ++i) {
    if (i + 2 < set.size() && set[i + 1] == '-') {
      found = found || (set[i] <= c && c <= set[i + 2]);
      i += 2;
    } else {
      found = found || set[i] == c;
    }
  }
  return found != negated;
}

/// How many bytes of the pattern match the character by themselves; 0 for none.
std::size_t match_one(std::string_view pattern, char c) {
  if (pattern.empty() || pattern[0] == '*') return 0;
  if (pattern[0] == '?') return 1;
  if (const std::size_t length = pattern[0] == '[' ? set_length(pattern) : 0; length != 0) {
    return set_has(pattern.substr(0, length), c) ? length : 0;
  }
  return pattern[0] == c ? 1 : 0;
}

}  // namespace

bool wildcard_match(std::string_view pattern, std::string_view text) {
  std::size_t at = 0;
  std::size_t in = 0;
  std::size_t star = std::string_view::npos;  // behind the last '*'
  std::size_t resume = 0;                     // where the text goes on when that one takes one more
  while (in < text.size()) {
    if (at < pattern.size() && pattern[at] == '*') {
      star = ++at;
      resume = in;
    } else if (const std::size_t taken = match_one(pattern.substr(at), text[in]); taken != 0) {
      at += taken;
      ++in;
    } else if (star != std::string_view::npos) {
      at = star;
      in = ++resume;
    } else {
      return false;
    }
  }
  while (at < pattern.size() && pattern[at] == '*') ++at;
  return at == pattern.size();
}

}  // namespace ditq
