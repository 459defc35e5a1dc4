#include <algorithm>
#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "text/added_tokens.h"
#include "text/byte_bpe.h"
#include "text/clip_text.h"
#include "text/tokenizer.h"
#include "text/tokenizer_files.h"
#include "text/unicode.h"

namespace ditq {
namespace {

/// As many merges as the slow class reads; with more, the reference's classes disagree.
constexpr std::size_t kMostMerges = 49152 - 256 - 2;

/// Everything a CLIP tokenizer is built from.
struct ClipParts {
  BpeTables tables;
  TokenizerConfig config;
  std::vector<AddedToken> added;
  ClipPattern pattern = ClipPattern::fast;
  std::string path;                ///< names the files in errors
  std::optional<Template> around;  ///< of tokenizer.json
};

StripRule strip_rule(ClipPattern pattern) {
  return pattern == ClipPattern::slow ? StripRule::python : StripRule::white_space;
}

class ClipTokenizer final : public Tokenizer {
 public:
  ClipTokenizer(TokenizerFacts facts, std::unique_ptr<const ByteBpe> bpe, const ClipParts& parts)
      : Tokenizer(std::move(facts)),
        bpe_(std::move(bpe)),
        pattern_(parts.pattern),
        raw_(select(parts.added, /*normalized=*/false), strip_rule(parts.pattern)),
        normalized_(select(parts.added, /*normalized=*/true), strip_rule(parts.pattern)),
        added_(parts.added) {}

  std::string decode(std::span<const std::int64_t> ids) const override {
    constexpr std::string_view kEndOfWord = "</w>";
    std::string bytes;
    for (const std::int64_t id : ids) bytes += bpe_->bytes(token(id));
    const std::string text = unicode::replace_invalid_utf8(bytes);
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find(kEndOfWord, at), text.size());
      out.append(text, at, end - at);
      if (end < text.size()) out.push_back(' ');
      at = end + kEndOfWord.size();
    }
    const std::size_t first = out.find_first_not_of(' ');
    if (first == std::string::npos) return "";
    return out.substr(first, out.find_last_not_of(' ') - first + 1);
  }

 protected:
  std::vector<std::int64_t> tokenize(std::string_view utf8) const override {
    std::vector<std::int64_t> ids;
    for (const TextPart& part : raw_.split(utf8)) {
      if (part.id) {
        ids.push_back(*part.id);
      } else if (pattern_ == ClipPattern::slow) {
        encode_words(clip_normalize_slow(part.text), ids);
      } else {
        encode_normalized(clip_normalize_fast(part.text), ids);
      }
    }
    return ids;
  }

 private:
  /// The slow class knows no added tokens that are looked for after normalization: it takes all of
  /// them at once.
  std::vector<AddedToken> select(const std::vector<AddedToken>& added, bool normalized) const {
    std::vector<AddedToken> out;
    for (const AddedToken& token : added) {
      const bool after = token.normalized && pattern_ != ClipPattern::slow;
      if (after != normalized) continue;
      out.push_back(token);
      if (after) out.back().content = clip_normalize_fast(token.content);
    }
    return out;
  }

  void encode_normalized(const std::string& text, std::vector<std::int64_t>& ids) const {
    for (const TextPart& part : normalized_.split(text)) {
      if (part.id) {
        ids.push_back(*part.id);
      } else {
        encode_words(part.text, ids);
      }
    }
  }

  void encode_words(std::string_view text, std::vector<std::int64_t>& ids) const {
    ByteBpe::Cache cache;
    for (const std::string_view word : clip_words(text, pattern_)) {
      const bool spelled =
          pattern_ == ClipPattern::slow && (word == kClipStart || word == kClipEnd);
      if (spelled) {
        // Lower-casing and dropping made a special token of the text: the slow class takes it as
        // one.
        ids.push_back(bpe_->find(word).value_or(facts().unk_id));
      } else {
        bpe_->encode(word, cache, ids);
      }
    }
  }

  const std::string& token(std::int64_t id) const {
    if (id >= 0 && id < bpe_->size()) return bpe_->token(id);
    const auto found = std::find_if(added_.begin(), added_.end(),
                                    [id](const AddedToken& added) { return added.id == id; });
    if (found != added_.end()) return found->content;
    throw Error(ErrorCode::usage, fmt::format("token id {} is outside the vocabulary", id),
                {.expected = fmt::format("0 to {}", facts().vocab_size - 1)});
  }

  std::unique_ptr<const ByteBpe> bpe_;
  ClipPattern pattern_;
  AddedTokenMatcher raw_, normalized_;
  std::vector<AddedToken> added_;
};

/// Gives every added token its id: the vocabulary's where that has the token, else the stated one,
/// which has to follow the vocabulary without gaps.
void settle_ids(const ByteBpe& bpe, ClipParts& parts) {
  std::vector<std::int64_t> behind;
  for (AddedToken& token : parts.added) {
    const auto known = bpe.find(token.content);
    if (known && token.id >= 0 && token.id != *known) {
      bad_tokenizer("an added token has another id than the vocabulary gives it", parts.path,
                    {.expected = fmt::format("'{}' with id {}", token.content, *known),
                     .found = fmt::format("id {}", token.id)});
    }
    if (!known && token.id < 0) {
      bad_tokenizer("the vocabulary lacks a special token", parts.path,
                    {.expected = "'" + token.content + "'"});
    }
    if (known) {
      token.id = *known;
    } else {
      behind.push_back(token.id);
    }
  }
  require_ids_behind(std::move(behind), bpe.size(), parts.path);
}

void add_once(const AddedToken& token, std::vector<AddedToken>& added) {
  const bool known = std::any_of(added.begin(), added.end(), [&](const AddedToken& other) {
    return other.content == token.content;
  });
  if (!known) added.push_back(token);
}

std::int64_t id_of(const std::string& content, const std::vector<AddedToken>& added) {
  const auto found = std::find_if(added.begin(), added.end(), [&](const AddedToken& token) {
    return token.content == content;
  });
  return found->id;
}

std::unique_ptr<const Tokenizer> build(ClipParts parts) {
  const bool slow = parts.pattern == ClipPattern::slow;
  if (parts.tables.merges.size() > kMostMerges) {
    bad_tokenizer("more merges than CLIP's classes read", parts.tables.merges_path,
                  {.expected = fmt::format("at most {}", kMostMerges),
                   .found = std::to_string(parts.tables.merges.size())});
  }
  auto bpe = std::make_unique<const ByteBpe>(std::move(parts.tables),
                                             slow ? MergeOrder::rounds : MergeOrder::heap);
  const AddedToken bos = named_token(parts.config, "bos_token", std::string(kClipStart));
  const AddedToken eos = named_token(parts.config, "eos_token", std::string(kClipEnd));
  const AddedToken unk = named_token(parts.config, "unk_token", std::string(kClipEnd));
  const AddedToken pad = named_token(parts.config, "pad_token", std::string(kClipEnd));
  for (const AddedToken& token : {bos, eos, unk, pad}) add_once(token, parts.added);
  for (const std::string& token : parts.config.additional) {
    add_once({.content = token}, parts.added);
  }
  settle_ids(*bpe, parts);

  std::int64_t largest = bpe->size() - 1;
  for (const AddedToken& token : parts.added) largest = std::max(largest, token.id);
  TokenizerFacts facts{.kind = "clip",
                       .prefix = {id_of(bos.content, parts.added)},
                       .eos_id = id_of(eos.content, parts.added),
                       .pad_id = id_of(pad.content, parts.added),
                       .unk_id = id_of(unk.content, parts.added),
                       .vocab_size = largest + 1,
                       .model_max_length = parts.config.model_max_length};
  if (parts.around &&
      (parts.around->prefix != facts.prefix || parts.around->suffix != std::vector{facts.eos_id})) {
    bad_tokenizer("the post-processor does not put the start and end tokens around a text",
                  parts.path);
  }
  return std::make_unique<const ClipTokenizer>(std::move(facts), std::move(bpe), parts);
}

/// Stops unless a member of tokenizer.json is, but for members that do not matter, what CLIP's is.
void require_like(const Json& found,
                  const Json& expected,
                  const std::string& what,
                  const std::string& path) {
  Json reduced = found.is_object() ? Json::object() : found;
  if (found.is_object()) {
    for (const auto& [key, value] : found.items()) {
      if (expected.contains(key)) reduced[key] = value;
    }
  }
  // Unordered comparison: the order of members carries nothing.
  if (nlohmann::json(reduced) == nlohmann::json(expected)) return;
  bad_tokenizer(what + " is not CLIP's", path,
                {.expected = dump_json(expected), .found = dump_json(found)});
}

void check_normalizer(const TokenizerJson& file) {
  const Json clip = Json::parse(R"({"type": "Sequence", "normalizers": [
      {"type": "NFC"},
      {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "},
      {"type": "Lowercase"}]})");
  require_like(file.document.value("normalizer", Json()), clip, "the normalizer", file.path);
}

/// The pattern of the pre-tokenizer's first stage: transformers 5 writes the special spellings into
/// it.
ClipPattern check_pre_tokenizer(const TokenizerJson& file) {
  static const std::string kWords = R"('s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+)";
  static const std::string kSpecials = R"(<\|startoftext\|>|<\|endoftext\|>|)";
  const Json found = file.document.value("pre_tokenizer", Json());
  const Json stages = type_of(found) == "Sequence" ? found.value("pretokenizers", Json()) : Json();
  if (!stages.is_array() || stages.size() != 2) {
    bad_tokenizer("the pre-tokenizer is not CLIP's", file.path,
                  {.expected = "a sequence of Split and ByteLevel", .found = dump_json(found)});
  }
  const Json regex = Json({{"Regex", kSpecials + kWords}});
  const bool specials = stages[0].is_object() && stages[0].value("pattern", Json()) == regex;
  const Json split{{"type", "Split"},
                   {"pattern", {{"Regex", specials ? kSpecials + kWords : kWords}}},
                   {"behavior", "Removed"},
                   {"invert", true}};
  require_like(stages[0], split, "the first pre-tokenizer", file.path);
  Json byte_level{{"type", "ByteLevel"}, {"add_prefix_space", false}};
  if (stages[1].is_object() && stages[1].contains("use_regex")) byte_level["use_regex"] = true;
  require_like(stages[1], byte_level, "the second pre-tokenizer", file.path);
  return specials ? ClipPattern::fast : ClipPattern::fast_classic;
}

void check_model(const TokenizerJson& file) {
  const Json defaults{{"dropout", nullptr},           {"continuing_subword_prefix", ""},
                      {"end_of_word_suffix", "</w>"}, {"fuse_unk", false},
                      {"byte_fallback", false},       {"ignore_merges", false}};
  for (const auto& [key, expected] : defaults.items()) {
    const Json found = file.model.value(key, key == "end_of_word_suffix" ? Json() : expected);
    const bool empty_prefix = key == "continuing_subword_prefix" && found.is_null();
    if (found == expected || empty_prefix) continue;
    bad_tokenizer(fmt::format("the model's '{}' is not CLIP's", key), file.path,
                  {.expected = dump_json(expected), .found = dump_json(found)});
  }
}

ClipParts read_json_parts(const std::string& path) {
  TokenizerJson file = read_tokenizer_json(path);
  if (file.model_type != "BPE") {
    bad_tokenizer("not a CLIP tokenizer", path,
                  {.expected = "a model of type BPE",
                   .found = file.model_type,
                   .advice = "Is this the folder of the T5 tokenizer?"});
  }
  check_normalizer(file);
  check_model(file);
  ClipParts parts;
  parts.pattern = check_pre_tokenizer(file);
  parts.around = read_post_processor(file);
  parts.tables = std::move(file.bpe);
  parts.added = std::move(file.added_tokens);
  return parts;
}

}  // namespace

std::unique_ptr<const Tokenizer> load_clip_tokenizer(const std::string& dir,
                                                     ClipTokenizerClass clip_class) {
  const auto has = [&](const char* file) { return std::filesystem::exists(dir + "/" + file); };
  const bool classic = has("vocab.json") && has("merges.txt");
  const std::string json_path = dir + "/tokenizer.json";
  if (!classic && !has("tokenizer.json")) {
    throw Error(ErrorCode::file_not_found, "no CLIP tokenizer in this folder",
                {.path = dir,
                 .expected = "vocab.json and merges.txt, or tokenizer.json",
                 .found = has("vocab.json")   ? "vocab.json without merges.txt"
                          : has("merges.txt") ? "merges.txt without vocab.json"
                                              : "none of them",
                 .advice = "Copy the tokenizer folder of the model's repository again."});
  }
  TokenizerConfig config = read_tokenizer_config(dir);
  ClipParts parts = classic ? ClipParts{.tables = read_bpe_files(dir), .added = config.added}
                            : read_json_parts(json_path);
  parts.config = std::move(config);
  parts.path = classic ? dir : json_path;
  if (clip_class == ClipTokenizerClass::slow) parts.pattern = ClipPattern::slow;
  return build(std::move(parts));
}

}  // namespace ditq
