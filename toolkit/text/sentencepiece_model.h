#pragma once
// spiece.model: a protobuf message (sentencepiece_model.proto) of pieces and normalization rules,
// read without the sentencepiece library. docs/formats/tokenizers.md says why.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/charsmap.h"
#include "text/tokenizer_files.h"

namespace ditq {

/// What NormalizerSpec says.
struct SentencePieceNormalizer {
  std::optional<Charsmap> charsmap;
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;

  /// The text as the model sees it: rules applied longest first, spaces as U+2581.
  /// Source: sentencepiece 0.2.3, src/normalizer.cc (Normalize).
  std::string normalize(std::string_view utf8) const;
};

/// A Unigram model of T5's kind.
struct SentencePieceModel {
  std::vector<UnigramPiece> pieces;  ///< control, unknown and unused ones are hidden
  std::int64_t unk_id = 0;
  SentencePieceNormalizer normalizer;
};

/// Errors: file_not_found, bad_tokenizer for a damaged file and for what no T5 model has: another
/// model type, user-defined or byte pieces, spaces that are not escaped or stand behind words.
SentencePieceModel read_sentencepiece_model(const std::string& path);

}  // namespace ditq
