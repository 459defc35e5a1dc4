#include "text/added_tokens.h"

#include <algorithm>
#include <utility>

#include "text/unicode.h"

namespace ditq {

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens, StripRule rule)
    : rule_(rule), tokens_(std::move(tokens)) {
  std::erase_if(tokens_, [](const AddedToken& token) { return token.content.empty(); });
  // Of equal ones the first listed counts.
  std::stable_sort(tokens_.begin(), tokens_.end(),
                   [](const AddedToken& a, const AddedToken& b) { return a.content < b.content; });
  const auto end =
      std::unique(tokens_.begin(), tokens_.end(),
                  [](const AddedToken& a, const AddedToken& b) { return a.content == b.content; });
  tokens_.erase(end, tokens_.end());
}

/// Narrows the sorted tokens byte by byte to those that share a prefix with the text: what a position costs grows with the
/// longest token, not with their number.
const AddedToken* AddedTokenMatcher::longest_at(std::string_view text) const {
  const AddedToken* longest = nullptr;
  auto first = tokens_.begin();
  auto last = tokens_.end();
  for (std::size_t size = 0; first != last && size < text.size(); ++size) {
    // All of [first, last) are longer than `size` and begin with the text's first bytes.
    const auto byte = static_cast<unsigned char>(text[size]);
    const auto byte_of = [size](const AddedToken& token) {
      return static_cast<unsigned char>(token.content[size]);
    };
    first =
        std::partition_point(first, last, [&](const AddedToken& t) { return byte_of(t) < byte; });
    last =
        std::partition_point(first, last, [&](const AddedToken& t) { return byte_of(t) == byte; });
    if (first != last && first->content.size() == size + 1) longest = &*first++;
  }
  return longest;
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
