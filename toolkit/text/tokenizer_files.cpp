#include "text/tokenizer_files.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <simdjson.h>

#include "base/file.h"
#include "text/lossy_float.h"
#include "text/unicode.h"

namespace ditq {
namespace {

namespace ondemand = simdjson::ondemand;

/// Members of tokenizer.json, and of its model, and items of a post-processor: real files have a dozen.
constexpr std::size_t kMaxMembers = 1000;

/// A file's text with the bytes behind it that simdjson may touch. Errors: bad_tokenizer where it
/// is not UTF-8.
simdjson::padded_string read_padded(const std::string& path) {
  const std::string text = read_text(path, kMaxTokenizerFile);
  const std::size_t bad = unicode::find_invalid_utf8(text);
  if (bad != std::string::npos) {
    bad_tokenizer(fmt::format("not UTF-8 at byte {}", bad), path);
  }
  return simdjson::padded_string(text);
}

/// Runs `read` on a document; what simdjson throws becomes an Error.
template <typename Read>
void with_document(const std::string& path, Read read) {
  const simdjson::padded_string text = read_padded(path);
  try {
    ondemand::parser parser;
    ondemand::document document = parser.iterate(text);
    read(document);
    // There is a location only while there is text left.
    const char* rest = nullptr;
    if (document.current_location().get(rest) == simdjson::SUCCESS) {
      bad_tokenizer("text behind the JSON document", path);
    }
  } catch (const simdjson::simdjson_error& error) {
    bad_tokenizer("not the JSON that belongs here", path, {.found = error.what()});
  }
}

std::string_view trimmed(std::string_view text) {
  const auto end = text.find_last_not_of(" \t\r\n");
  return text.substr(0, end == std::string_view::npos ? 0 : end + 1);
}

/// Any value as a document of its own, bounded in depth.
Json read_value(ondemand::value value, const std::string& path) {
  const std::string_view text = simdjson::to_json_string(value);
  return parse_json(text, path);
}

/// {"token": id, …} in any order, as a list by id.
std::vector<std::string> read_vocab(ondemand::object vocab, const std::string& path) {
  std::vector<std::pair<std::string, std::int64_t>> entries;
  VocabularyLimits limits(path);
  for (auto field : vocab) {
    const std::string_view token = field.unescaped_key();
    limits.add(token);
    entries.emplace_back(std::string(token), std::int64_t{field.value()});
  }
  std::vector<std::string> tokens(entries.size());
  std::vector<bool> taken(entries.size(), false);
  for (auto& [token, id] : entries) {
    const auto at = static_cast<std::size_t>(id);
    if (id < 0 || at >= entries.size()) {
      bad_tokenizer("the vocabulary's ids have gaps", path,
                    {.expected = fmt::format("ids 0 to {}", entries.size() - 1),
                     .found = fmt::format("'{}' with id {}", token, id)});
    }
    if (taken[at]) {
      bad_tokenizer("two tokens have one id", path,
                    {.found = fmt::format("'{}' and '{}' with id {}", tokens[at], token, id)});
    }
    taken[at] = true;
    tokens[at] = std::move(token);
  }
  return tokens;
}

/// ["a b", …] of older files or [["a", "b"], …].
void read_merges(ondemand::array merges, BpeTables& tables) {
  VocabularyLimits limits(tables.merges_path);
  for (auto merge : merges) {
    limits.add("");
    if (merge.type() == ondemand::json_type::array) {
      std::vector<std::string> parts;
      for (auto part : merge.get_array()) parts.emplace_back(part.get_string().value());
      if (parts.size() != 2) {
        bad_tokenizer(fmt::format("merge {} does not have two parts", tables.merges.size()),
                      tables.merges_path);
      }
      tables.merges.emplace_back(std::move(parts[0]), std::move(parts[1]));
    } else {
      const std::string_view text = merge.get_string();
      const std::size_t space = text.find(' ');
      if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) {
        bad_tokenizer(fmt::format("merge {} does not have two parts", tables.merges.size()),
                      tables.merges_path, {.found = "'" + std::string(text) + "'"});
      }
      tables.merges.emplace_back(text.substr(0, space), text.substr(space + 1));
    }
  }
}

/// [["piece", score], …].
void read_pieces(ondemand::array vocab, TokenizerJson& out) {
  VocabularyLimits limits(out.path);
  for (auto entry : vocab) {
    auto members = entry.get_array();
    UnigramPiece piece;
    std::size_t count = 0;
    for (auto member : members) {
      if (count == 0) {
        piece.text = member.get_string().value();
        limits.add(piece.text);
      }
      if (count == 1) {
        const std::string_view text = trimmed(member.raw_json_token());
        const auto score = parse_lossy_float(text);
        if (!score) {
          bad_tokenizer(fmt::format("the score of piece {} is no number", out.pieces.size()),
                        out.path, {.found = "'" + std::string(text) + "'"});
        }
        piece.score = *score;
      }
      ++count;
    }
    if (count != 2) {
      bad_tokenizer(fmt::format("piece {} is not a pair of text and score", out.pieces.size()),
                    out.path);
    }
    out.pieces.push_back(std::move(piece));
  }
}

void check_members(const Json& object, const std::string& path) {
  if (object.size() < kMaxMembers) return;
  bad_tokenizer("an object has too many members", path,
                {.expected = fmt::format("at most {}", kMaxMembers)});
}

void read_model(ondemand::object model, TokenizerJson& out) {
  for (auto field : model) {
    const std::string key(field.unescaped_key().value());
    ondemand::value value = field.value();
    const ondemand::json_type type = value.type();
    if (key == "vocab" && type == ondemand::json_type::object) {
      out.bpe.tokens = read_vocab(value.get_object(), out.path);
    } else if (key == "vocab") {
      read_pieces(value.get_array(), out);
    } else if (key == "merges") {
      read_merges(value.get_array(), out.bpe);
    } else {
      check_members(out.model, out.path);
      out.model[key] = read_value(value, out.path);
    }
  }
}

/// Files older than tokenizers 0.9 leave "type" out; what the model holds tells.
std::string model_type(const TokenizerJson& file) {
  if (std::string type = type_of(file.model); !type.empty()) return type;
  return !file.pieces.empty() ? "Unigram" : !file.bpe.merges.empty() ? "BPE" : "none";
}

void check_tables(const TokenizerJson& file) {
  if (file.model_type != "BPE" && file.model_type != "Unigram") {
    bad_tokenizer("a tokenizer model that ditq does not know", file.path,
                  {.expected = "BPE (CLIP) or Unigram (T5)",
                   .found = file.model_type,
                   .advice = "Only CLIP and T5 tokenizers can be read."});
  }
  const bool empty = file.model_type == "BPE" ? file.bpe.tokens.empty() : file.pieces.empty();
  if (empty) {
    bad_tokenizer(fmt::format("no vocabulary for a model of type {}", file.model_type), file.path);
  }
}

std::vector<AddedToken> read_added_tokens(const TokenizerJson& file) {
  std::vector<AddedToken> out;
  const auto list = file.document.find("added_tokens");
  if (list == file.document.end() || list->is_null()) return out;
  if (!list->is_array()) bad_tokenizer("'added_tokens' must be a list", file.path);
  check_added_count(list->size(), file.path);
  for (const Json& value : *list) {
    AddedToken token = parse_added_token(value, file.path);
    const auto id = value.is_object() ? value.find("id") : value.end();
    if (id == value.end() || !id->is_number_unsigned()) {
      bad_tokenizer("an added token without an id", file.path, {.found = dump_json(value)});
    }
    token.id = id->get<std::int64_t>();
    out.push_back(std::move(token));
  }
  return out;
}

/// "a b" of merges.txt.
std::pair<std::string, std::string> split_merge(std::string_view line,
                                                std::size_t number,
                                                const std::string& path) {
  const std::size_t space = line.find(' ');
  if (space == 0 || space == std::string_view::npos || space + 1 == line.size() ||
      line.find(' ', space + 1) != std::string_view::npos) {
    bad_tokenizer(fmt::format("line {} is not two symbols with a space between", number), path,
                  {.found = "'" + std::string(line) + "'"});
  }
  return {std::string(line.substr(0, space)), std::string(line.substr(space + 1))};
}

/// The lines behind "#version: …". The slow class skips the first line whatever it is, the fast one
/// only a version.
void read_merges_file(const std::string& path, BpeTables& tables) {
  const std::string text = read_text(path, kMaxTokenizerFile);
  std::size_t number = 0;
  VocabularyLimits limits(path);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = trimmed(std::string_view(text).substr(at, end - at));
    at = end + 1;
    if (++number == 1) {
      if (line.starts_with("#version")) continue;
      bad_tokenizer("the first line does not state a version", path,
                    {.expected = "'#version: 0.2'", .found = "'" + std::string(line) + "'"});
    }
    if (line.empty() && at >= text.size()) break;
    limits.add(line);
    tables.merges.push_back(split_merge(line, number, path));
  }
}

/// The ids that a template names on one side of its text.
class TemplateReader {
 public:
  TemplateReader(const TokenizerJson& file, const Json& processor)
      : file_(file), processor_(processor) {}

  Template read() const {
    Template out;
    bool behind = false;
    const Json& items = member(processor_, "single");
    if (items.size() > kMaxMembers) fail();
    for (const Json& item : items) {
      if (item.is_object() && item.contains("Sequence")) {
        if (behind) fail();
        behind = true;
        continue;
      }
      const std::vector<std::int64_t> ids = special_ids(member(item, "SpecialToken"));
      std::vector<std::int64_t>& side = behind ? out.suffix : out.prefix;
      side.insert(side.end(), ids.begin(), ids.end());
    }
    if (!behind) fail();
    return out;
  }

 private:
  [[noreturn]] void fail() const {
    bad_tokenizer("a post-processor that ditq does not know", file_.path,
                  {.expected = "special tokens around one text", .found = dump_json(processor_)});
  }
  const Json& member(const Json& object, const char* key) const {
    if (!object.is_object() || !object.contains(key)) fail();
    return object[key];
  }
  std::vector<std::int64_t> special_ids(const Json& token) const {
    const Json& name = member(token, "id");
    if (!name.is_string()) fail();
    const Json& special = member(processor_, "special_tokens");
    std::vector<std::int64_t> ids;
    for (const Json& id : member(member(special, name.get<std::string>().c_str()), "ids")) {
      if (!id.is_number_unsigned()) fail();
      ids.push_back(id.get<std::int64_t>());
    }
    return ids;
  }

  const TokenizerJson& file_;
  const Json& processor_;
};

/// ["token", id] of RobertaProcessing.
std::int64_t roberta_id(const Json& processor, const char* key, const std::string& path) {
  const auto pair = processor.find(key);
  if (pair == processor.end() || !pair->is_array() || pair->size() != 2 ||
      !(*pair)[1].is_number_unsigned()) {
    bad_tokenizer(fmt::format("'{}' of the post-processor is not a token and its id", key), path);
  }
  return (*pair)[1].get<std::int64_t>();
}

}  // namespace

BpeTables read_bpe_files(const std::string& dir) {
  BpeTables tables{.vocab_path = dir + "/vocab.json", .merges_path = dir + "/merges.txt"};
  with_document(tables.vocab_path, [&](ondemand::document& document) {
    tables.tokens = read_vocab(document.get_object(), tables.vocab_path);
  });
  read_merges_file(tables.merges_path, tables);
  return tables;
}

TokenizerJson read_tokenizer_json(const std::string& path) {
  TokenizerJson out{.path = path};
  out.bpe.vocab_path = out.bpe.merges_path = path;
  with_document(path, [&](ondemand::document& document) {
    for (auto field : document.get_object()) {
      const std::string key(field.unescaped_key().value());
      if (key == "model") {
        read_model(field.value().get_object(), out);
      } else {
        check_members(out.document, path);
        out.document[key] = read_value(field.value(), path);
      }
    }
  });
  out.model_type = model_type(out);
  check_tables(out);
  out.added_tokens = read_added_tokens(out);
  return out;
}

Template read_post_processor(const TokenizerJson& file) {
  const Json processor = file.document.value("post_processor", Json());
  const std::string type = type_of(processor);
  if (type == "TemplateProcessing") return TemplateReader(file, processor).read();
  if (type == "RobertaProcessing") {
    return {.prefix = {roberta_id(processor, "cls", file.path)},
            .suffix = {roberta_id(processor, "sep", file.path)}};
  }
  bad_tokenizer("a post-processor that ditq does not know", file.path,
                {.expected = "RobertaProcessing or TemplateProcessing", .found = "'" + type + "'"});
}

}  // namespace ditq
