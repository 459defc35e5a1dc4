#pragma once
// Unicode for tokenizers: UTF-8, general categories, NFC, lower case and grapheme clusters, each
// with the rules of the library that a tokenizer follows. Categories and mappings are Unicode 15.0
// (utf8proc 2.8).

#include <cstddef>
#include <string>
#include <string_view>

namespace ditq::unicode {

/// Byte offset of the first ill-formed UTF-8 sequence (overlong forms, surrogates and values above
/// U+10FFFF are ill-formed), or npos.
std::size_t find_invalid_utf8(std::string_view text);

/// Errors: bad_text, naming the byte offset.
void require_utf8(std::string_view text);

/// The character at byte offset `at` of well-formed UTF-8; moves `at` behind it.
char32_t next_char(std::string_view text, std::size_t& at);

/// Appends a character as UTF-8.
void append_utf8(char32_t c, std::string& out);

/// Well-formed UTF-8 as code points.
std::u32string to_utf32(std::string_view text);
std::string to_utf8(std::u32string_view text);

/// UTF-8 where every maximal ill-formed part became U+FFFD, as Rust's from_utf8_lossy and Python's
/// errors="replace".
std::string replace_invalid_utf8(std::string_view bytes);

/// General categories: L*, N*, M*, C* (Cc, Cf, Cs, Co, Cn) and Zs.
bool is_letter(char32_t c);
bool is_number(char32_t c);
bool is_other(char32_t c);
bool is_space_separator(char32_t c);

/// The property White_Space: what Rust's char::is_whitespace and Oniguruma's \s accept.
bool is_white_space(char32_t c);

/// Canonical composition. Linear but for a stable sort of each run of combining marks.
std::u32string nfc(std::u32string_view text);

/// NFC as the tokenizers library computes it, with the data of Unicode 9.0: later characters are
/// left where they stand, and nothing moves or composes across them.
std::u32string nfc_of_unicode_9(std::u32string_view text);

/// Each character's full lower case without context, as Rust's char::to_lowercase: capital sigma is
/// always U+03C3, U+0130 becomes i and U+0307.
std::u32string lower_each(std::u32string_view text);

/// Python's str.lower(): as lower_each, but a sigma that ends a word becomes U+03C2.
std::u32string lower_with_final_sigma(std::u32string_view text);

/// End of the extended grapheme cluster that starts at byte offset `at` of well-formed UTF-8.
std::size_t grapheme_end(std::string_view text, std::size_t at);

}  // namespace ditq::unicode
