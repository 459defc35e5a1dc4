#pragma once
// Byte-level byte-pair encoding with an end-of-word mark, as CLIP uses it.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/hash_tables.h"
#include "text/tokenizer_files.h"

namespace ditq {

/// When a merge makes a pair that may merge too: at once, or after all pairs of the present rank.
/// The two agree for merges that were learned in their order; files written by hand can tell them
/// apart.
enum class MergeOrder {
  heap,    ///< tokenizers, models/bpe/word.rs (merge_all)
  rounds,  ///< CLIP's bpe(): all occurrences of the best pair, then the next pair
};

/// A vocabulary whose words are merged from bytes; the last byte of a word carries "</w>".
class ByteBpe {
 public:
  /// Errors: bad_tokenizer for repeated tokens, a merge of symbols or into a symbol that the
  /// vocabulary lacks, a merge listed twice, and a byte without symbol.
  ByteBpe(BpeTables tables, MergeOrder order);
  ByteBpe(const ByteBpe&) = delete;
  ByteBpe& operator=(const ByteBpe&) = delete;

  /// Results of earlier words of one text.
  using Cache = std::unordered_map<std::string_view, std::vector<std::int64_t>>;

  /// Appends a word's ids. `word` stays alive as long as the cache.
  void encode(std::string_view word, Cache& cache, std::vector<std::int64_t>& out) const;

  std::optional<std::int64_t> find(std::string_view token) const;
  const std::string& token(std::int64_t id) const { return tokens_[static_cast<std::size_t>(id)]; }
  std::int64_t size() const { return static_cast<std::int64_t>(tokens_.size()); }

  /// The bytes that a token stands for; a token with other characters than the byte symbols stands
  /// for itself.
  std::string bytes(std::string_view token) const;

 private:
  struct Symbol;
  class Word;

  void find_byte_symbols(const std::string& path);
  void read_merges(const BpeTables& tables);
  std::vector<std::int64_t> merge_word(std::string_view word) const;

  std::vector<std::string> tokens_;
  StringIndex index_;
  MergeOrder order_;
  std::array<std::uint32_t, 256> inner_{},
      last_{};                         ///< ids of byte symbols without and with "</w>"
  KeyMap ranks_;                       ///< left << 32 | right to rank
  std::vector<std::uint32_t> merged_;  ///< id of the merged symbol by rank
};

}  // namespace ditq
