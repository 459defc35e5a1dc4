#include <algorithm>
#include <charconv>
#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "text/tokenizer_files.h"

namespace ditq {
namespace {

/// A document of the folder, or nothing where it is not there.
std::optional<Json> read_optional(const std::string& path) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  Json document = read_json(path);
  if (!document.is_object()) {
    bad_tokenizer("not a JSON object", path, {.found = document.type_name()});
  }
  return document;
}

bool read_flag(const Json& object, const char* key, bool fallback, const std::string& path) {
  const auto member = object.find(key);
  if (member == object.end() || member->is_null()) return fallback;
  if (!member->is_boolean()) {
    bad_tokenizer(fmt::format("'{}' must be true or false", key), path,
                  {.found = dump_json(*member)});
  }
  return member->get<bool>();
}

}  // namespace

void bad_tokenizer(std::string sentence, const std::string& path, ErrorFacts facts) {
  facts.path = path;
  if (facts.advice.empty()) {
    facts.advice = "Copy the tokenizer folder of the model's repository again.";
  }
  throw Error(ErrorCode::bad_tokenizer, std::move(sentence), std::move(facts));
}

AddedToken parse_added_token(const Json& value, const std::string& path) {
  if (value.is_string()) {
    check_added_token(value.get_ref<const std::string&>(), path);
    return {.content = value.get<std::string>()};
  }
  if (!value.is_object() || !value.contains("content") || !value["content"].is_string()) {
    bad_tokenizer("a token must be a string or an object with 'content'", path,
                  {.found = dump_json(value)});
  }
  check_added_token(value["content"].get_ref<const std::string&>(), path);
  if (read_flag(value, "single_word", false, path)) {
    bad_tokenizer("an added token with single_word, which ditq does not know", path,
                  {.found = dump_json(value)});
  }
  return {.content = value["content"].get<std::string>(),
          .normalized = read_flag(value, "normalized", false, path),
          .lstrip = read_flag(value, "lstrip", false, path),
          .rstrip = read_flag(value, "rstrip", false, path)};
}

void VocabularyLimits::add(std::string_view token) {
  bytes_ += token.size();
  if (++tokens_ > kMaxVocabulary || token.size() > kMaxTokenBytes || bytes_ > kMaxVocabularyBytes) {
    bad_tokenizer(
        "the vocabulary is too large", path_,
        {.expected = fmt::format("at most {} tokens of at most {} bytes, {} bytes together",
                                 kMaxVocabulary, kMaxTokenBytes, kMaxVocabularyBytes),
         .found = fmt::format("token {} of {} bytes", tokens_ - 1, token.size())});
  }
}

void check_added_count(std::size_t count, const std::string& path) {
  if (count <= kMaxAddedTokens) return;
  bad_tokenizer(
      "too many added tokens", path,
      {.expected = fmt::format("at most {}", kMaxAddedTokens), .found = fmt::format("{}", count)});
}

void check_added_token(std::string_view content, const std::string& path) {
  if (content.size() <= kMaxAddedTokenBytes) return;
  bad_tokenizer("an added token is too long", path,
                {.expected = fmt::format("at most {} bytes", kMaxAddedTokenBytes),
                 .found = fmt::format("{} bytes", content.size())});
}

std::string type_of(const Json& object) {
  if (!object.is_object()) return "";
  const auto type = object.find("type");
  return type != object.end() && type->is_string() ? type->get<std::string>() : "";
}

namespace {

std::int64_t parse_id(const std::string& text, const std::string& path) {
  std::int64_t id = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size() || id < 0) {
    bad_tokenizer("a token id that is no number", path, {.found = "'" + text + "'"});
  }
  return id;
}

void read_decoder(const Json& decoder, const std::string& path, std::vector<AddedToken>& out) {
  if (!decoder.is_object()) bad_tokenizer("'added_tokens_decoder' must be an object", path);
  check_added_count(decoder.size(), path);
  for (const auto& [id, value] : decoder.items()) {
    AddedToken token = parse_added_token(value, path);
    token.id = parse_id(id, path);
    out.push_back(std::move(token));
  }
}

/// added_tokens.json of old folders: content to id; looked for after normalization unless special.
void read_added_tokens(const Json& document, const std::string& path, TokenizerConfig& config) {
  const auto is_special = [&config](const std::string& content) {
    return std::any_of(config.named.begin(), config.named.end(),
                       [&](const auto& named) { return named.second.content == content; }) ||
           std::find(config.additional.begin(), config.additional.end(), content) !=
               config.additional.end();
  };
  check_added_count(document.size(), path);
  for (const auto& [content, id] : document.items()) {
    check_added_token(content, path);
    if (!id.is_number_unsigned()) {
      bad_tokenizer("a token id that is no number", path, {.found = dump_json(id)});
    }
    config.added.push_back(
        {.content = content, .id = id.get<std::int64_t>(), .normalized = !is_special(content)});
  }
}

void read_names(const Json& document, const std::string& path, TokenizerConfig& config) {
  for (const char* name : {"bos_token", "eos_token", "unk_token", "pad_token"}) {
    const auto member = document.find(name);
    if (member == document.end() || member->is_null()) continue;
    config.named[name] = parse_added_token(*member, path);
  }
  const auto additional = document.find("additional_special_tokens");
  if (additional == document.end() || additional->is_null()) return;
  if (!additional->is_array()) bad_tokenizer("'additional_special_tokens' must be a list", path);
  check_added_count(additional->size(), path);
  config.additional.clear();
  for (const Json& token : *additional) {
    config.additional.push_back(parse_added_token(token, path).content);
  }
}

/// transformers writes int(1e30) for "no limit"; it does not fit 64 bits and is read as a double.
std::int64_t read_max_length(const Json& document, const std::string& path) {
  const auto member = document.find("model_max_length");
  if (member == document.end() || member->is_null()) return 0;
  if (!member->is_number() || member->get<double>() < 1) {
    bad_tokenizer("'model_max_length' must be a positive number", path,
                  {.found = dump_json(*member)});
  }
  constexpr double kNoLimit = 1e9;
  return member->get<double>() >= kNoLimit ? 0 : member->get<std::int64_t>();
}

void read_t5_settings(const Json& document, const std::string& path, TokenizerConfig& config) {
  config.legacy = read_flag(document, "legacy", true, path);
  config.add_prefix_space = read_flag(document, "add_prefix_space", true, path);
  const auto extra_ids = document.find("extra_ids");
  if (extra_ids == document.end() || extra_ids->is_null()) return;
  constexpr auto kMostExtraIds = static_cast<std::int64_t>(kMaxAddedTokens);
  if (!extra_ids->is_number_integer() || extra_ids->get<std::int64_t>() < 0 ||
      extra_ids->get<std::int64_t>() > kMostExtraIds) {
    bad_tokenizer("'extra_ids' must be a small number", path, {.found = dump_json(*extra_ids)});
  }
  config.extra_ids = extra_ids->get<std::int64_t>();
}

}  // namespace

TokenizerConfig read_tokenizer_config(const std::string& dir) {
  TokenizerConfig config;
  const std::string path = dir + "/tokenizer_config.json";
  const std::optional<Json> document = read_optional(path);
  if (document) {
    const auto member = document->find("tokenizer_class");
    if (member != document->end() && member->is_string()) {
      config.tokenizer_class = member->get<std::string>();
    }
    read_names(*document, path, config);
    config.model_max_length = read_max_length(*document, path);
    read_t5_settings(*document, path, config);
    if (document->contains("added_tokens_decoder")) {
      read_decoder((*document)["added_tokens_decoder"], path, config.added);
      return config;
    }
  }
  // Folders older than added_tokens_decoder: the map of special tokens comes on top.
  const std::string map_path = dir + "/special_tokens_map.json";
  if (const auto map = read_optional(map_path)) read_names(*map, map_path, config);
  const std::string added_path = dir + "/added_tokens.json";
  if (const auto added = read_optional(added_path)) read_added_tokens(*added, added_path, config);
  return config;
}

void require_ids_behind(std::vector<std::int64_t> ids,
                        std::int64_t vocab_size,
                        const std::string& path) {
  std::sort(ids.begin(), ids.end());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::int64_t expected = vocab_size + static_cast<std::int64_t>(i);
    if (ids[i] == expected) continue;
    bad_tokenizer("the ids of added tokens leave a gap or are taken", path,
                  {.expected = std::to_string(expected), .found = std::to_string(ids[i])});
  }
}

AddedToken named_token(const TokenizerConfig& config,
                       const std::string& name,
                       const std::string& fallback) {
  const auto found = config.named.find(name);
  AddedToken token = found == config.named.end() ? AddedToken{.content = fallback} : found->second;
  for (const AddedToken& added : config.added) {
    if (added.content == token.content) return added;
  }
  return token;
}

}  // namespace ditq
