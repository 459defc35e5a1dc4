// Our reading of spiece.model against the sentencepiece library, where that is installed.
#include <random>

#include <gtest/gtest.h>
#include <sentencepiece_processor.h>

#include "support/paths.h"
#include "text/sentencepiece_model.h"
#include "text/unicode.h"

namespace ditq {
namespace {

/// Random characters, half of them from where normalization is busy.
std::string random_text(std::mt19937& random) {
  const auto between = [&](unsigned low, unsigned high) {
    return std::uniform_int_distribution<unsigned>(low, high)(random);
  };
  std::string out;
  for (unsigned count = between(0, 30); count > 0; --count) {
    char32_t c = between(0, 1) == 0 ? between(0x20, 0x7E) : between(1, 0xFFFF);
    if (between(0, 5) == 0) c = U' ';
    if (between(0, 9) == 0) c = between(0x300, 0x36F);
    if (between(0, 9) == 0) c = between(0x10000, 0x1FFFF);
    if (c >= 0xD800 && c <= 0xDFFF) c = U'\u2581';
    unicode::append_utf8(c, out);
  }
  return out;
}

TEST(SentencePieceOracle, PiecesAndNormalizedTextEqualTheLibrarys) {
  const std::string path = (test::tiny_flux() / "tokenizer_2/spiece.model").string();
  sentencepiece::SentencePieceProcessor library;
  ASSERT_TRUE(library.Load(path).ok());
  const SentencePieceModel model = read_sentencepiece_model(path);

  ASSERT_EQ(static_cast<int>(model.pieces.size()), library.GetPieceSize());
  EXPECT_EQ(model.unk_id, library.unk_id());
  for (int id = 0; id < library.GetPieceSize(); ++id) {
    const UnigramPiece& piece = model.pieces[static_cast<std::size_t>(id)];
    EXPECT_EQ(piece.text, library.IdToPiece(id));
    EXPECT_EQ(piece.score, library.GetScore(id));
    EXPECT_EQ(piece.hidden, library.IsControl(id) || library.IsUnknown(id) || library.IsUnused(id));
  }

  std::mt19937 random(11);
  for (int round = 0; round < 3000; ++round) {
    const std::string text = random_text(random);
    std::string normalized;
    for (const std::string& piece : library.EncodeAsPieces(text)) normalized += piece;
    EXPECT_EQ(model.normalizer.normalize(text), normalized) << testing::PrintToString(text);
  }
}

}  // namespace
}  // namespace ditq
