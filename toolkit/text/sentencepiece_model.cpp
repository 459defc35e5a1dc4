#include "text/sentencepiece_model.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <utility>

#include <fmt/format.h>

#include "base/file.h"
#include "text/unicode.h"

namespace ditq {
namespace {

/// U+2581, SentencePiece's visible space.
constexpr std::string_view kSpace = "\xE2\x96\x81";

/// Protobuf's wire types.
enum class Wire : std::uint64_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

/// One field of a message.
struct Field {
  std::uint64_t number;
  Wire wire;
  std::uint64_t value;     ///< of a varint, a fixed64 or a fixed32
  std::string_view bytes;  ///< of length-delimited fields
};

/// Reads a message's fields one after the other.
class MessageReader {
 public:
  MessageReader(std::string_view bytes, const std::string& path) : bytes_(bytes), path_(path) {}

  std::optional<Field> next() {
    if (bytes_.empty()) return std::nullopt;
    const std::uint64_t tag = varint();
    Field field{.number = tag >> 3, .wire = Wire{tag & 7}, .value = 0, .bytes = {}};
    switch (field.wire) {
      case Wire::varint:
        field.value = varint();
        return field;
      case Wire::fixed64:
        field.value = little_endian(take(8));
        return field;
      case Wire::fixed32:
        field.value = little_endian(take(4));
        return field;
      case Wire::bytes:
        field.bytes = take(varint());
        return field;
    }
    fail();
  }

 private:
  [[noreturn]] void fail() const { bad_tokenizer("not a sound protobuf message", path_); }

  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= std::uint64_t{byte & 0x7FU} << shift;
      if (byte < 0x80) return value;
    }
    fail();
  }
  std::string_view take(std::uint64_t count) {
    if (count > bytes_.size()) fail();
    const std::string_view taken = bytes_.substr(0, static_cast<std::size_t>(count));
    bytes_.remove_prefix(taken.size());
    return taken;
  }
  static std::uint64_t little_endian(std::string_view bytes) {
    std::uint64_t value = 0;
    for (std::size_t i = bytes.size(); i-- > 0;) {
      value = (value << 8) | static_cast<unsigned char>(bytes[i]);
    }
    return value;
  }

  std::string_view bytes_;
  const std::string& path_;
};

/// ModelProto.SentencePiece.Type.
enum class PieceType : std::uint64_t { normal = 1, unknown, control, user_defined, unused, byte };

/// Reads one file. Field numbers are those of sentencepiece_model.proto.
class ModelReader {
 public:
  explicit ModelReader(const std::string& path) : path_(path), limits_(path) {}

  SentencePieceModel read() {
    const std::string bytes = read_text(path_, kMaxTokenizerFile);
    MessageReader message(bytes, path_);
    while (const auto field = message.next()) {
      if (field->number == 1) read_piece(field->bytes);
      if (field->number == 2) check_trainer(field->bytes);
      if (field->number == 3) read_normalizer(field->bytes);
    }
    if (unknown_ != 1) {
      bad_tokenizer("a model needs one piece of type unknown", path_,
                    {.found = std::to_string(unknown_)});
    }
    return std::move(model_);
  }

 private:
  void read_piece(std::string_view bytes) {
    UnigramPiece piece{.text = "", .score = 0.0};
    auto type = PieceType::normal;
    MessageReader message(bytes, path_);
    while (const auto field = message.next()) {
      if (field->number == 1) piece.text = field->bytes;
      if (field->number == 2) {
        piece.score = std::bit_cast<float>(static_cast<std::uint32_t>(field->value));
      }
      if (field->number == 3) type = PieceType{field->value};
    }
    limits_.add(piece.text);
    const std::size_t id = model_.pieces.size();
    const bool text_is_good =
        !piece.text.empty() && unicode::find_invalid_utf8(piece.text) == std::string::npos;
    if (!text_is_good || !std::isfinite(piece.score)) {
      bad_tokenizer(fmt::format("piece {} has no text or no score", id), path_);
    }
    const bool foreign = type == PieceType::user_defined || type == PieceType::byte;
    if (foreign || type > PieceType::byte) {
      bad_tokenizer(fmt::format("piece {} is of a type that T5 does not have", id), path_,
                    {.expected = "normal, unknown, control or unused"});
    }
    if (type == PieceType::unknown) {
      model_.unk_id = static_cast<std::int64_t>(id);
      ++unknown_;
    }
    piece.hidden = type != PieceType::normal;
    model_.pieces.push_back(std::move(piece));
  }

  void check_trainer(std::string_view bytes) const {
    constexpr std::uint64_t kUnigram = 1;
    MessageReader message(bytes, path_);
    while (const auto field = message.next()) {
      const bool other_model = field->number == 3 && field->value != kUnigram;
      const bool space_behind = field->number == 24 && field->value != 0;
      if (!other_model && !space_behind) continue;
      bad_tokenizer("not a model of T5's kind", path_,
                    {.expected = "Unigram with spaces in front of words",
                     .found = other_model ? fmt::format("model type {}", field->value)
                                          : "treat_whitespace_as_suffix"});
    }
  }

  void read_normalizer(std::string_view bytes) {
    SentencePieceNormalizer& out = model_.normalizer;
    MessageReader message(bytes, path_);
    while (const auto field = message.next()) {
      if (field->number == 2 && !field->bytes.empty()) out.charsmap.emplace(field->bytes, path_);
      if (field->number == 3) out.add_dummy_prefix = field->value != 0;
      if (field->number == 4) out.remove_extra_whitespaces = field->value != 0;
      if (field->number == 5 && field->value == 0) {
        bad_tokenizer("a model whose spaces are not escaped, which T5's are", path_);
      }
    }
  }

  const std::string& path_;
  VocabularyLimits limits_;
  SentencePieceModel model_;
  int unknown_ = 0;
};

/// What the text's start turns into, and how much of the text that takes.
struct Prefix {
  std::string_view text;
  std::size_t taken;
};

Prefix normalize_prefix(const std::optional<Charsmap>& charsmap, std::string_view text) {
  if (charsmap) {
    if (const auto rule = charsmap->longest(text)) return {rule->replacement, rule->key_bytes};
  }
  std::size_t end = 0;
  unicode::next_char(text, end);
  return {text.substr(0, end), end};
}

}  // namespace

std::string SentencePieceNormalizer::normalize(std::string_view utf8) const {
  std::string out;
  bool behind_space = remove_extra_whitespaces;
  bool anything = false;
  while (!utf8.empty()) {
    Prefix prefix = normalize_prefix(charsmap, utf8);
    utf8.remove_prefix(prefix.taken);
    // Only a rule that gives one space is a leading space; one that gives nothing ends the search
    // for them.
    const bool leading = remove_extra_whitespaces && !anything && prefix.text == " ";
    if (leading) continue;
    if (!anything && add_dummy_prefix) out += kSpace;
    anything = true;
    while (behind_space && prefix.text.starts_with(' ')) prefix.text.remove_prefix(1);
    if (prefix.text.empty()) continue;
    for (const char c : prefix.text) {
      if (c == ' ') {
        out += kSpace;
      } else {
        out.push_back(c);
      }
    }
    behind_space = remove_extra_whitespaces && prefix.text.ends_with(' ');
  }
  while (remove_extra_whitespaces && out.ends_with(kSpace)) out.resize(out.size() - kSpace.size());
  return out;
}

SentencePieceModel read_sentencepiece_model(const std::string& path) {
  return ModelReader(path).read();
}

}  // namespace ditq
