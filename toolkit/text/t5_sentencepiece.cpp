#include "text/t5_sentencepiece.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "text/added_tokens.h"
#include "text/sentencepiece_model.h"
#include "text/unigram.h"

namespace ditq {
namespace {

/// U+2581, SentencePiece's visible space.
constexpr std::string_view kSpace = "\xE2\x96\x81";

/// Appends a piece with its U+2581 as spaces.
void append_with_spaces(std::string_view piece, std::string& out) {
  while (!piece.empty()) {
    const std::size_t space = std::min(piece.find(kSpace), piece.size());
    out += piece.substr(0, space);
    piece.remove_prefix(space);
    if (piece.empty()) return;
    out.push_back(' ');
    piece.remove_prefix(kSpace.size());
  }
}

struct Settings {
  bool legacy;
  bool add_prefix_space;
  std::string unk;
};

class SentencePieceTokenizer final : public Tokenizer {
 public:
  SentencePieceTokenizer(TokenizerFacts facts,
                         Unigram model,
                         SentencePieceNormalizer normalizer,
                         const std::vector<AddedToken>& added,
                         Settings settings)
      : Tokenizer(std::move(facts)),
        model_(std::move(model)),
        normalizer_(std::move(normalizer)),
        matcher_(added, StripRule::python),
        added_(added),
        settings_(std::move(settings)) {
    // transformers' word for "no dummy prefix".
    if (!settings_.legacy) normalizer_.add_dummy_prefix = false;
    unk_length_ = segment(settings_.unk).size();
  }

  std::string decode(std::span<const std::int64_t> ids) const override {
    std::string out;
    for (const std::int64_t id : ids) append_with_spaces(piece(id), out);
    return out.starts_with(' ') ? out.substr(1) : out;
  }

 protected:
  std::vector<std::int64_t> tokenize(std::string_view utf8) const override {
    if (utf8.empty()) return {};
    if (settings_.legacy) return tokenize_parts(utf8);
    std::string text = settings_.add_prefix_space ? std::string(kSpace) : std::string();
    for (std::size_t at = 0; at < utf8.size();) {
      const std::size_t space = std::min(utf8.find(kSpace, at), utf8.size());
      text += utf8.substr(at, space - at);
      if (space < utf8.size()) text.push_back(' ');
      at = space + kSpace.size();
    }
    return tokenize_parts(text);
  }

 private:
  std::vector<std::int64_t> tokenize_parts(std::string_view text) const {
    std::vector<std::int64_t> ids;
    for (const TextPart& part : matcher_.split(text)) {
      if (!part.id) {
        encode(part.text, ids);
        continue;
      }
      // The space put in front of the text goes where a special token starts it.
      const bool lone_space = ids.size() == 1 && ids[0] == model_.find(kSpace);
      if (!settings_.legacy && lone_space) ids.clear();
      ids.push_back(*part.id);
    }
    return ids;
  }

  /// Without the dummy prefix a leading space is stripped: transformers hides it behind the unknown
  /// token's name.
  void encode(std::string_view text, std::vector<std::int64_t>& ids) const {
    const bool guarded = !settings_.legacy && (text.starts_with(kSpace) || text.starts_with(' '));
    const std::vector<std::int64_t> found =
        segment((guarded ? settings_.unk : std::string()) + std::string(text));
    const std::size_t skipped = guarded && found.size() >= unk_length_ ? unk_length_ : 0;
    ids.insert(ids.end(), found.begin() + static_cast<std::ptrdiff_t>(skipped), found.end());
  }

  std::vector<std::int64_t> segment(std::string_view text) const {
    std::vector<std::int64_t> ids;
    model_.encode(normalizer_.normalize(text), ids);
    return ids;
  }

  std::string piece(std::int64_t id) const {
    for (const AddedToken& token : added_) {
      if (token.id == id) return token.content;
    }
    if (id >= 0 && id < model_.size()) return model_.piece(id);
    throw Error(ErrorCode::usage, fmt::format("token id {} is outside the vocabulary", id),
                {.expected = fmt::format("0 to {}", facts().vocab_size - 1)});
  }

  Unigram model_;
  SentencePieceNormalizer normalizer_;
  AddedTokenMatcher matcher_;
  std::vector<AddedToken> added_;
  Settings settings_;
  std::size_t unk_length_ = 0;  ///< how many pieces the unknown token's name makes
};

/// Sentinels count down from the end of the vocabulary: <extra_id_0> has the largest id.
std::vector<AddedToken> sentinels(const TokenizerConfig& config,
                                  std::int64_t pieces,
                                  const std::string& path) {
  constexpr std::int64_t kUsual = 100;
  const std::int64_t count = config.extra_ids.value_or(kUsual);
  const auto listed = static_cast<std::int64_t>(std::count_if(
      config.additional.begin(), config.additional.end(),
      [](const auto& token) { return token.find("<extra_id_") != std::string::npos; }));
  if (listed > 0 && count > 0 && listed != count) {
    bad_tokenizer(
        "additional_special_tokens and extra_ids disagree", path,
        {.expected = fmt::format("{} sentinels", count), .found = std::to_string(listed)});
  }
  std::vector<AddedToken> out;
  for (std::int64_t i = 0; i < (listed > 0 ? listed : count); ++i) {
    out.push_back({.content = fmt::format("<extra_id_{}>", i),
                   .id = pieces - 1 + count - i,
                   .lstrip = true,
                   .rstrip = true});
  }
  return out;
}

/// Added tokens are pieces of the model or follow it.
void check_added(const Unigram& model,
                 const std::vector<AddedToken>& added,
                 const std::string& path) {
  std::vector<std::int64_t> behind;
  for (const AddedToken& token : added) {
    if (token.id >= model.size()) {
      behind.push_back(token.id);
    } else if (model.piece(token.id) != token.content) {
      bad_tokenizer("an added token has another id than the vocabulary gives it", path,
                    {.expected = fmt::format("'{}' with id {}", model.piece(token.id), token.id),
                     .found = "'" + token.content + "'"});
    }
  }
  require_ids_behind(std::move(behind), model.size(), path);
}

}  // namespace

std::unique_ptr<const Tokenizer> load_t5_sentencepiece(const std::string& path,
                                                       const TokenizerConfig& config) {
  SentencePieceModel parts = read_sentencepiece_model(path);
  Unigram model(std::move(parts.pieces), parts.unk_id, ScorePrecision::f32, path);
  std::vector<AddedToken> added = config.added;
  // added_tokens_decoder overrides the class's own sentinels by id.
  for (AddedToken& token : sentinels(config, model.size(), path)) {
    const bool stated = std::any_of(added.begin(), added.end(), [&](const AddedToken& other) {
      return other.id == token.id || other.content == token.content;
    });
    if (!stated) added.push_back(std::move(token));
  }
  const auto settle = [&](const char* name, const char* fallback) {
    AddedToken token = named_token(config, name, fallback);
    for (std::int64_t id = 0; token.id < 0 && id < model.size(); ++id) {
      if (model.piece(id) == token.content) token.id = id;
    }
    if (token.id < 0) {
      bad_tokenizer("the vocabulary lacks a special token", path,
                    {.expected = "'" + token.content + "'"});
    }
    const bool known = std::any_of(added.begin(), added.end(), [&](const AddedToken& other) {
      return other.content == token.content;
    });
    if (!known) added.push_back(token);
    return token;
  };
  const AddedToken eos = settle("eos_token", "</s>");
  const AddedToken pad = settle("pad_token", "<pad>");
  const AddedToken unk = settle("unk_token", "<unk>");
  check_added(model, added, path);
  std::int64_t largest = model.size() - 1;
  for (const AddedToken& token : added) largest = std::max(largest, token.id);
  TokenizerFacts facts{.kind = "t5",
                       .prefix = {},
                       .eos_id = eos.id,
                       .pad_id = pad.id,
                       .unk_id = unk.id,
                       .vocab_size = largest + 1,
                       .model_max_length = config.model_max_length,
                       .eos_once = true};
  return std::make_unique<const SentencePieceTokenizer>(
      std::move(facts), std::move(model), std::move(parts.normalizer), added,
      Settings{config.legacy, config.add_prefix_space, unk.content});
}

}  // namespace ditq
