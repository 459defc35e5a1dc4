#include <algorithm>
#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "text/added_tokens.h"
#include "text/charsmap.h"
#include "text/t5_sentencepiece.h"
#include "text/tokenizer.h"
#include "text/tokenizer_files.h"
#include "text/unicode.h"
#include "text/unigram.h"

namespace ditq {
namespace {

/// U+2581, SentencePiece's visible space.
constexpr std::string_view kSpace = "\xE2\x96\x81";

/// The normalizer of tokenizer.json: these stages in this order, each optional.
struct Normalizer {
  std::optional<Charsmap> charsmap;
  bool strip_left = false, strip_right = false;
  bool fold_spaces = false;  ///< two spaces and more become one kSpace

  std::string operator()(std::string_view text) const;
};

/// When a kSpace is put in front of a stretch of text.
enum class Prepend { always, first, never };

/// The pre-tokenizer of tokenizer.json.
struct PreTokenizer {
  bool split_white_space = false;  ///< first WhitespaceSplit, which drops the white space
  Prepend prepend = Prepend::always;
  bool split = true;  ///< in front of each kSpace
};

std::string Normalizer::operator()(std::string_view text) const {
  std::string out = charsmap ? charsmap->normalize(text) : std::string(text);
  if (strip_left || strip_right) {
    std::u32string_view kept;
    const std::u32string chars = unicode::to_utf32(out);
    kept = chars;
    while (strip_left && !kept.empty() && unicode::is_white_space(kept.front())) {
      kept.remove_prefix(1);
    }
    while (strip_right && !kept.empty() && unicode::is_white_space(kept.back())) {
      kept.remove_suffix(1);
    }
    out = unicode::to_utf8(kept);
  }
  if (!fold_spaces) return out;
  std::string folded;
  folded.reserve(out.size());
  for (std::size_t at = 0; at < out.size();) {
    const std::size_t end = std::min(out.find_first_not_of(' ', at), out.size());
    if (end - at >= 2) {
      folded += kSpace;
      at = end;
    } else {
      folded.push_back(out[at++]);
    }
  }
  return folded;
}

/// Calls `use` for each stretch between white space, or for the whole text.
template <typename Use>
void for_each_stretch(std::string_view text, bool split_white_space, Use use) {
  if (!split_white_space) {
    use(text);
    return;
  }
  std::size_t start = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t here = at;
    if (!unicode::is_white_space(unicode::next_char(text, at))) continue;
    if (start < here) use(text.substr(start, here - start));
    start = at;
  }
  if (start < text.size()) use(text.substr(start));
}

class T5Tokenizer final : public Tokenizer {
 public:
  T5Tokenizer(TokenizerFacts facts,
              Unigram model,
              std::vector<AddedToken> added,
              Normalizer normalizer,
              PreTokenizer pre_tokenizer)
      : Tokenizer(std::move(facts)),
        model_(std::move(model)),
        normalizer_(std::move(normalizer)),
        pre_tokenizer_(pre_tokenizer),
        raw_(select(added, /*normalized=*/false), StripRule::white_space),
        normalized_(select(added, /*normalized=*/true), StripRule::white_space),
        added_(std::move(added)) {}

  std::string decode(std::span<const std::int64_t> ids) const override {
    std::string out;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      std::string_view token = piece(ids[i]);
      while (!token.empty()) {
        const std::size_t space = std::min(token.find(kSpace), token.size());
        out += token.substr(0, space);
        token.remove_prefix(space);
        if (token.empty()) break;
        token.remove_prefix(kSpace.size());
        if (i > 0 || pre_tokenizer_.prepend == Prepend::never) out.push_back(' ');
      }
    }
    return out;
  }

 protected:
  std::vector<std::int64_t> tokenize(std::string_view utf8) const override {
    std::vector<std::int64_t> ids;
    for (const TextPart& part : raw_.split(utf8)) {
      if (part.id) {
        ids.push_back(*part.id);
        continue;
      }
      const std::string text = normalizer_(part.text);
      const bool starts_text = part.text.data() == utf8.data();
      for (const TextPart& inner : normalized_.split(text)) {
        if (inner.id) {
          ids.push_back(*inner.id);
        } else {
          encode_part(inner.text, starts_text && inner.text.data() == text.data(), ids);
        }
      }
    }
    return ids;
  }

 private:
  std::vector<AddedToken> select(const std::vector<AddedToken>& added, bool normalized) const {
    std::vector<AddedToken> out;
    for (const AddedToken& token : added) {
      if (token.normalized != normalized) continue;
      out.push_back(token);
      if (normalized) out.back().content = normalizer_(token.content);
    }
    return out;
  }

  void encode_part(std::string_view part, bool starts_text, std::vector<std::int64_t>& ids) const {
    for_each_stretch(part, pre_tokenizer_.split_white_space,
                     [&](std::string_view stretch) { encode_stretch(stretch, starts_text, ids); });
  }

  /// Metaspace, then the model on each piece.
  void encode_stretch(std::string_view stretch,
                      bool starts_text,
                      std::vector<std::int64_t>& ids) const {
    if (stretch.empty()) return;
    std::string text;
    for (const char c : stretch) {
      if (c == ' ') {
        text += kSpace;
      } else {
        text.push_back(c);
      }
    }
    const bool wanted = pre_tokenizer_.prepend == Prepend::always ||
                        (pre_tokenizer_.prepend == Prepend::first && starts_text);
    if (wanted && !text.starts_with(kSpace)) text.insert(0, kSpace);
    if (!pre_tokenizer_.split) {
      model_.encode(text, ids);
      return;
    }
    const std::string_view whole = text;
    for (std::size_t at = 0; at < whole.size();) {
      const std::size_t end = std::min(whole.find(kSpace, at + 1), whole.size());
      model_.encode(whole.substr(at, end - at), ids);
      at = end;
    }
  }

  std::string_view piece(std::int64_t id) const {
    if (id >= 0 && id < model_.size()) return model_.piece(id);
    for (const AddedToken& token : added_) {
      if (token.id == id) return token.content;
    }
    throw Error(ErrorCode::usage, fmt::format("token id {} is outside the vocabulary", id),
                {.expected = fmt::format("0 to {}", facts().vocab_size - 1)});
  }

  Unigram model_;
  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  AddedTokenMatcher raw_, normalized_;
  std::vector<AddedToken> added_;
};

[[noreturn]] void unknown_stage(const char* what, const Json& found, const std::string& path) {
  bad_tokenizer(fmt::format("{} that T5 does not have", what), path,
                {.expected = "Precompiled, Strip, Replace of ' {2,}', WhitespaceSplit, Metaspace",
                 .found = dump_json(found)});
}

/// A Sequence's members, or the one stage itself.
std::vector<Json> stages_of(const Json& value, const char* members) {
  if (value.is_null()) return {};
  if (type_of(value) != "Sequence") return {value};
  const auto list = value.find(members);
  if (list == value.end() || !list->is_array()) return {value};
  return {list->begin(), list->end()};
}

bool flag(const Json& object, const char* key, bool fallback, const std::string& path) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return fallback;
  if (!found->is_boolean()) {
    bad_tokenizer(fmt::format("'{}' must be true or false", key), path,
                  {.found = dump_json(*found)});
  }
  return found->get<bool>();
}

Normalizer read_normalizer(const TokenizerJson& file) {
  Normalizer out;
  int stage = 0;  // 1 charsmap, 2 strip, 3 fold: never backwards
  const auto enter = [&](int next, const Json& value) {
    if (next <= stage) unknown_stage("an order of normalizers", value, file.path);
    stage = next;
  };
  const Json fold =
      Json::parse(R"({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "\u2581"})");
  for (const Json& value : stages_of(file.document.value("normalizer", Json()), "normalizers")) {
    const std::string type = type_of(value);
    if (type == "Precompiled") {
      enter(1, value);
      const Json map = value.value("precompiled_charsmap", Json());
      if (!map.is_string()) {
        bad_tokenizer("the character map must be a string", file.path, {.found = map.type_name()});
      }
      out.charsmap = Charsmap::from_base64(map.get_ref<const std::string&>(), file.path);
    } else if (type == "Strip") {
      enter(2, value);
      out.strip_left = flag(value, "strip_left", false, file.path);
      out.strip_right = flag(value, "strip_right", false, file.path);
    } else if (nlohmann::json(value) == nlohmann::json(fold)) {
      enter(3, value);
      out.fold_spaces = true;
    } else {
      unknown_stage("a normalizer", value, file.path);
    }
  }
  return out;
}

/// Files before tokenizers 0.14 say add_prefix_space only; later ones prepend_scheme, or both,
/// which have to agree.
Prepend read_prepend(const Json& metaspace, const std::string& path) {
  const bool add_prefix = flag(metaspace, "add_prefix_space", true, path);
  const Json scheme = metaspace.value("prepend_scheme", Json());
  if (scheme == "never") return Prepend::never;
  if ((scheme.is_null() || scheme == "always") && add_prefix) return Prepend::always;
  if (scheme == "first" && add_prefix) return Prepend::first;
  unknown_stage("a Metaspace", metaspace, path);
}

PreTokenizer read_pre_tokenizer(const TokenizerJson& file) {
  PreTokenizer out;
  bool metaspace = false;
  const Json whole = file.document.value("pre_tokenizer", Json());
  for (const Json& value : stages_of(whole, "pretokenizers")) {
    const std::string type = type_of(value);
    if (type == "WhitespaceSplit" && !out.split_white_space && !metaspace) {
      out.split_white_space = true;
    } else if (type == "Metaspace" && !metaspace &&
               value.value("replacement", Json()) == Json(kSpace)) {
      metaspace = true;
      out.prepend = read_prepend(value, file.path);
      out.split = flag(value, "split", true, file.path);
    } else {
      unknown_stage("a pre-tokenizer", value, file.path);
    }
  }
  // Which stretch is first depends on how the library tracks offsets; no T5 file has this.
  const bool ambiguous = out.split_white_space && out.prepend == Prepend::first;
  if (!metaspace || ambiguous) unknown_stage("a pre-tokenizer", whole, file.path);
  return out;
}

std::int64_t find_token(const std::string& content,
                        const Unigram& model,
                        const std::vector<AddedToken>& added,
                        const std::string& path) {
  if (const auto id = model.find(content)) return *id;
  for (const AddedToken& token : added) {
    if (token.content == content) return token.id;
  }
  bad_tokenizer("the vocabulary lacks a special token", path, {.expected = "'" + content + "'"});
}

/// The ids of added tokens are the model's, or follow it without gaps.
void check_added(const Unigram& model,
                 const std::vector<AddedToken>& added,
                 const std::string& path) {
  std::vector<std::int64_t> behind;
  for (const AddedToken& token : added) {
    const auto known = model.find(token.content);
    if (!known) behind.push_back(token.id);
    if (!known || *known == token.id) continue;
    bad_tokenizer("an added token has another id than the vocabulary gives it", path,
                  {.expected = fmt::format("'{}' with id {}", token.content, *known),
                   .found = fmt::format("id {}", token.id)});
  }
  require_ids_behind(std::move(behind), model.size(), path);
}

std::int64_t read_unk_id(const TokenizerJson& file) {
  const Json unk = file.model.value("unk_id", Json());
  if (!unk.is_number_integer()) {
    bad_tokenizer("the model states no id for unknown characters", file.path,
                  {.expected = "'unk_id'", .found = dump_json(unk)});
  }
  if (flag(file.model, "byte_fallback", false, file.path)) {
    bad_tokenizer("a Unigram model with byte_fallback, which T5 does not have", file.path);
  }
  return unk.get<std::int64_t>();
}

std::unique_ptr<const Tokenizer> load_json(const std::string& path, const TokenizerConfig& config) {
  TokenizerJson file = read_tokenizer_json(path);
  if (file.model_type != "Unigram") {
    bad_tokenizer("not a T5 tokenizer", path,
                  {.expected = "a model of type Unigram",
                   .found = file.model_type,
                   .advice = "Is this the folder of the CLIP tokenizer?"});
  }
  Unigram model(std::move(file.pieces), read_unk_id(file), ScorePrecision::f64, path);
  check_added(model, file.added_tokens, path);
  const auto id = [&](const char* name, const char* fallback) {
    return find_token(named_token(config, name, fallback).content, model, file.added_tokens, path);
  };
  std::int64_t largest = model.size() - 1;
  for (const AddedToken& token : file.added_tokens) largest = std::max(largest, token.id);
  TokenizerFacts facts{.kind = "t5",
                       .prefix = {},
                       .eos_id = id("eos_token", "</s>"),
                       .pad_id = id("pad_token", "<pad>"),
                       .unk_id = id("unk_token", "<unk>"),
                       .vocab_size = largest + 1,
                       .model_max_length = config.model_max_length};
  const Template around = read_post_processor(file);
  if (!around.prefix.empty() || around.suffix != std::vector{facts.eos_id}) {
    bad_tokenizer("the post-processor does not put the end token behind a text", path);
  }
  Normalizer normalizer = read_normalizer(file);
  for (const AddedToken& token : file.added_tokens) {
    if (token.normalized) check_added_token(normalizer(token.content), path);
  }
  return std::make_unique<const T5Tokenizer>(std::move(facts), std::move(model),
                                             std::move(file.added_tokens), std::move(normalizer),
                                             read_pre_tokenizer(file));
}

}  // namespace

std::unique_ptr<const Tokenizer> load_t5_tokenizer(const std::string& dir) {
  const TokenizerConfig config = read_tokenizer_config(dir);
  const std::string json_path = dir + "/tokenizer.json";
  const std::string model_path = dir + "/spiece.model";
  if (std::filesystem::exists(json_path)) return load_json(json_path, config);
  if (std::filesystem::exists(model_path)) return load_t5_sentencepiece(model_path, config);
  throw Error(ErrorCode::file_not_found, "no T5 tokenizer in this folder",
              {.path = dir,
               .expected = "tokenizer.json or spiece.model",
               .advice = "Copy the tokenizer_2 folder of the model's repository again."});
}

}  // namespace ditq
