#pragma once
// Unigram segmentation: the sequence of pieces with the greatest sum of scores.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/hash_tables.h"
#include "text/tokenizer_files.h"

namespace ditq {

/// In what precision scores are added up: it decides between segmentations of equal score.
enum class ScorePrecision {
  f64,  ///< the tokenizers library; models/unigram/model.rs (encode_optimized)
  f32,  ///< sentencepiece 0.2.3; unigram_model.cc (EncodeOptimized)
};

/// Longest stretch that is segmented, in bytes: a normalizer can make a text longer, and each byte takes 24.
inline constexpr std::size_t kMaxNormalizedBytes = std::size_t{1} << 24;

/// A Unigram model: Viterbi forwards, the first of equal paths wins, adjacent unknown characters
/// are one unknown token.
class Unigram {
 public:
  /// Errors: bad_tokenizer for an unk_id outside the vocabulary or a piece that is listed twice.
  Unigram(std::vector<UnigramPiece> pieces,
          std::int64_t unk_id,
          ScorePrecision precision,
          const std::string& path);

  /// Appends the ids of a stretch of well-formed UTF-8. Linear in its length times the longest
  /// piece that fits. Errors: bad_text for more than kMaxNormalizedBytes.
  void encode(std::string_view utf8, std::vector<std::int64_t>& out) const;

  /// The id of a piece, or nothing.
  std::optional<std::int64_t> find(std::string_view piece) const;
  const std::string& piece(std::int64_t id) const {
    return pieces_[static_cast<std::size_t>(id)].text;
  }
  std::int64_t size() const { return static_cast<std::int64_t>(pieces_.size()); }

 private:
  struct Step;

  void add_to_trie(std::size_t id, const std::string& path);
  double sum(double score, double so_far) const;
  std::optional<std::uint32_t> child(std::uint32_t node, char byte) const;
  std::vector<Step> best_steps(std::string_view utf8) const;

  std::vector<UnigramPiece> pieces_;
  std::int64_t unk_id_;
  ScorePrecision precision_;
  double unk_score_;
  KeyMap children_;                ///< node << 8 | byte to node
  std::vector<std::int32_t> ids_;  ///< piece that ends at a node, or -1
};

}  // namespace ditq
