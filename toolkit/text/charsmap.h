#pragma once
// SentencePiece's precompiled character map: a double array that leads from byte sequences to their
// replacements.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ditq {

/// A character map as the tokenizers library applies it: by grapheme cluster.
/// Layout: u32 size of the double array in bytes, the array (darts-clone units, little endian), the
/// replacements, each ended by a NUL.
class Charsmap {
 public:
  /// Checks every unit once, so that no lookup can leave the array or the replacements; replacements have at most 256
  /// bytes, and entries are looked up to 256.
  /// Errors: bad_tokenizer, naming `path`.
  Charsmap(std::string_view blob, const std::string& path);

  /// The blob as tokenizer.json holds it. Errors: bad_tokenizer.
  static Charsmap from_base64(std::string_view text, const std::string& path);

  /// A cluster of less than 6 bytes is replaced by the entry of its first matching prefix, whatever
  /// follows that; in longer clusters each character is replaced by itself.
  /// Source: tokenizers, normalizers/precompiled.rs; spm_precompiled, lib.rs.
  std::string normalize(std::string_view utf8) const;

  /// An entry that starts a text.
  struct Rule {
    std::size_t key_bytes;
    std::string_view replacement;
  };

  /// The longest entry that starts `text`: how sentencepiece itself applies the map.
  std::optional<Rule> longest(std::string_view text) const;

 private:
  /// Calls `found(bytes, replacement)` for the entries that start `key`, shortest first, until it
  /// returns false.
  template <typename Found>
  void for_each_prefix(std::string_view key, Found found) const;

  /// The replacement of the shortest entry that starts `key`.
  std::optional<std::string_view> find(std::string_view key) const;
  void check(const std::string& path) const;

  std::vector<std::uint32_t> units_;
  std::string replacements_;
};

}  // namespace ditq
