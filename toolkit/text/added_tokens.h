#pragma once
// Tokens that are found in the text itself, before the model sees it: special tokens and sentinels.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ditq {

/// One entry of added_tokens (tokenizer.json) or added_tokens_decoder (tokenizer_config.json).
struct AddedToken {
  std::string content;
  std::int64_t id = -1;     ///< -1: the vocabulary knows it
  bool normalized = false;  ///< looked for after normalization instead of before
  bool lstrip = false;      ///< takes the white space on its left along
  bool rstrip = false;      ///< takes the white space on its right along
};

/// A stretch of text: one added token, or what stands between two.
struct TextPart {
  std::string_view text;
  std::optional<std::int64_t> id;  ///< of the added token
};

/// What lstrip and rstrip take for white space.
enum class StripRule {
  white_space,  ///< the property White_Space, as the tokenizers library
  python,       ///< str.strip(), which adds U+001C to U+001F, as the slow classes
};

/// Splits text at a fixed set of strings, leftmost first and the longest of those.
/// Source: tokenizers, tokenizer/added_vocabulary.rs (find_matches).
class AddedTokenMatcher {
 public:
  AddedTokenMatcher(std::vector<AddedToken> tokens, StripRule rule);

  /// The parts in order; empty stretches are left out. Views into `text`.
  std::vector<TextPart> split(std::string_view text) const;

 private:
  const AddedToken* longest_at(std::string_view text) const;
  bool is_stripped(char32_t c) const;
  std::size_t skip_left(std::string_view text, std::size_t end, std::size_t floor) const;
  std::size_t skip_right(std::string_view text, std::size_t at) const;

  StripRule rule_;
  std::vector<AddedToken> tokens_;  ///< in byte order, each content once
};

}  // namespace ditq
