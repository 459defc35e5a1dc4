#pragma once
// What CLIP's two tokenizer classes do with a text before byte-pair encoding: normalization and the
// split in words.

#include <string>
#include <string_view>
#include <vector>

namespace ditq {

/// The spellings that CLIP's word pattern knows, whatever the special tokens are called.
inline constexpr std::string_view kClipStart = "<|startoftext|>";
inline constexpr std::string_view kClipEnd = "<|endoftext|>";

/// The fast class: NFC, white space runs to one space, lower case without context.
std::string clip_normalize_fast(std::string_view text);

/// The slow class without ftfy: characters of category C* dropped, CJK ideographs set apart, NFC,
/// single spaces, Python's lower case. Source: transformers 4.57, models/clip/tokenization_clip.py
/// (BasicTokenizer).
std::string clip_normalize_slow(std::string_view text);

/// Which word pattern splits a normalized text.
enum class ClipPattern {
  slow,  ///< case-insensitive, with the special spellings as words
  fast,  ///< transformers 5: with the special spellings, which the byte-level stage splits again
  fast_classic,  ///< transformers 4: without them
};

/// The words of a normalized text; what no alternative matches is left out. Views into `text`.
/// <\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+
std::vector<std::string_view> clip_words(std::string_view text, ClipPattern pattern);

}  // namespace ditq
