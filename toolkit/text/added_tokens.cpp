#include "text/added_tokens.h"

#include <algorithm>
#include <utility>

#include "text/unicode.h"

namespace ditq {
AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens, StripRule rule)
    : rule_(rule), tokens_(std::move(tokens)) {
  std::erase_if(tokens_, [](const AddedToken& token) { return token.content.empty(); });
  std::stable_sort(tokens_.begin(), tokens_.end(), [](const AddedToken& a, const AddedToken& b) {
    return a.content.size() > b.content.size();
  });
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    by_first_[static_cast<unsigned char>(tokens_[i].content[0])].push_back(i);
  }
}

const AddedToken* AddedTokenMatcher::longest_at(std::string_view text) const {
  for (const std::size_t i : by_first_[static_cast<unsigned char>(text[0])]) {
    if (text.starts_with(tokens_[i].content)) return &tokens_[i];
  }
  return nullptr;
}

bool AddedTokenMatcher::is_stripped(char32_t c) const {
  return unicode::is_white_space(c) || (rule_ == StripRule::python && c >= 0x1C && c <= 0x1F);
}

/// Where the white space that ends at `end` begins, not before `floor`.
std::size_t AddedTokenMatcher::skip_left(std::string_view text,
                                         std::size_t end,
                                         std::size_t floor) const {
  while (end > floor) {
    std::size_t start = end - 1;
    while (start > floor && (static_cast<unsigned char>(text[start]) & 0xC0) == 0x80) --start;
    std::size_t at = start;
    if (!is_stripped(unicode::next_char(text, at))) break;
    end = start;
  }
  return end;
}

/// Where the white space that starts at `at` ends.
std::size_t AddedTokenMatcher::skip_right(std::string_view text, std::size_t at) const {
  while (at < text.size()) {
    std::size_t next = at;
    if (!is_stripped(unicode::next_char(text, next))) break;
    at = next;
  }
  return at;
}

std::vector<TextPart> AddedTokenMatcher::split(std::string_view text) const {
  std::vector<TextPart> parts;
  std::size_t done = 0;
  for (std::size_t at = 0; at < text.size();) {
    const AddedToken* token = longest_at(text.substr(at));
    if (token == nullptr) {
      ++at;
      continue;
    }
    std::size_t end = at + token->content.size();
    const std::size_t start = token->lstrip ? skip_left(text, at, done) : at;
    if (token->rstrip) end = skip_right(text, end);
    if (done < start) parts.push_back({text.substr(done, start - done), std::nullopt});
    parts.push_back({text.substr(start, end - start), token->id});
    at = done = end;
  }
  if (done < text.size()) parts.push_back({text.substr(done), std::nullopt});
  return parts;
}

}  // namespace ditq
