#include "text/tokenizer.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include <fmt/format.h>

#include "base/error.h"
#include "text/tokenizer_files.h"
#include "text/unicode.h"

namespace ditq {
namespace {

void check_limits(const TokenizerFacts& facts, std::int64_t max_length, bool pad) {
  const auto special = static_cast<std::int64_t>(facts.prefix.size()) + 1;
  if (max_length < 0 || (max_length > 0 && max_length < special)) {
    throw Error(ErrorCode::usage, "the maximal number of tokens is too small",
                {.expected = fmt::format("at least {} for the special tokens", special),
                 .found = std::to_string(max_length)});
  }
  if (pad && max_length == 0) {
    throw Error(ErrorCode::usage, "padding needs a maximal number of tokens",
                {.advice = "Give a maximal length."});
  }
}

void append_eos(const TokenizerFacts& facts, std::vector<std::int64_t>& ids) {
  if (facts.eos_once && !ids.empty() && ids.back() == facts.eos_id) return;
  ids.push_back(facts.eos_id);
}

bool has_file(const std::string& dir, const char* file) {
  return std::filesystem::exists(std::filesystem::path(dir) / file);
}

}  // namespace

Encoding Tokenizer::encode(std::string_view utf8, std::int64_t max_length, bool pad) const {
  check_limits(facts_, max_length, pad);
  if (utf8.size() > kMaxPromptBytes) {
    throw Error(ErrorCode::bad_text, "the text is too long for a prompt",
                {.expected = fmt::format("at most {} bytes", kMaxPromptBytes),
                 .found = fmt::format("{} bytes", utf8.size())});
  }
  unicode::require_utf8(utf8);

  std::vector<std::int64_t> whole = facts_.prefix;
  const std::vector<std::int64_t> text = tokenize(utf8);
  whole.insert(whole.end(), text.begin(), text.end());

  Encoding out;
  out.ids = whole;
  // The room for eos is counted even where none will be added, as transformers does.
  const auto limit = static_cast<std::size_t>(max_length);
  if (limit > 0 && whole.size() + 1 > limit) out.ids.resize(limit - 1);
  append_eos(facts_, out.ids);
  append_eos(facts_, whole);

  out.length = static_cast<std::int64_t>(out.ids.size());
  out.untruncated_length = static_cast<std::int64_t>(whole.size());
  out.truncated = out.ids != whole;
  if (out.truncated) {
    // Everything from the place that eos took, without the eos of the whole text.
    out.dropped = decode(std::span(whole).subspan(limit - 1, whole.size() - limit));
  }
  if (pad) out.ids.resize(limit, facts_.pad_id);
  return out;
}

std::unique_ptr<const Tokenizer> load_tokenizer(const std::string& dir,
                                                ClipTokenizerClass clip_class) {
  const std::string tokenizer_class = read_tokenizer_config(dir).tokenizer_class;
  if (tokenizer_class.starts_with("CLIP")) return load_clip_tokenizer(dir, clip_class);
  if (tokenizer_class.starts_with("T5")) return load_t5_tokenizer(dir);
  // What generic classes save says nothing about the kind.
  const std::array<std::string_view, 3> generic{"", "PreTrainedTokenizerFast", "TokenizersBackend"};
  if (std::find(generic.begin(), generic.end(), tokenizer_class) != generic.end()) {
    if (has_file(dir, "merges.txt")) return load_clip_tokenizer(dir, clip_class);
    if (has_file(dir, "spiece.model")) return load_t5_tokenizer(dir);
    if (has_file(dir, "tokenizer.json")) {
      const bool bpe = read_tokenizer_json(dir + "/tokenizer.json").model_type == "BPE";
      return bpe ? load_clip_tokenizer(dir, clip_class) : load_t5_tokenizer(dir);
    }
    throw Error(ErrorCode::file_not_found, "no tokenizer in this folder",
                {.path = dir,
                 .expected = "vocab.json and merges.txt, spiece.model, or tokenizer.json",
                 .advice = "Give the folder that holds these files, such as tokenizer or "
                           "tokenizer_2 of a pipeline."});
  }
  bad_tokenizer("a tokenizer of a class that ditq does not know", dir + "/tokenizer_config.json",
                {.expected = "CLIPTokenizer or T5Tokenizer", .found = tokenizer_class});
}

}  // namespace ditq
