#pragma once
// The files of a tokenizer folder as plain data: big vocabularies through simdjson, the rest as
// documents.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "text/added_tokens.h"

namespace ditq {

/// Limits of the readers. The largest known vocabulary has 262,144 tokens in a file of 34 MB.
inline constexpr std::uint64_t kMaxTokenizerFile = std::uint64_t{64} << 20;  ///< bytes
inline constexpr std::size_t kMaxVocabulary = std::size_t{1} << 20;          ///< tokens, and merges
inline constexpr std::size_t kMaxTokenBytes = 1024;                          ///< of one token
inline constexpr std::size_t kMaxVocabularyBytes = std::size_t{1} << 24;     ///< of all tokens
inline constexpr std::size_t kMaxAddedTokens = 10'000;   ///< each is looked for in every text
inline constexpr std::size_t kMaxAddedTokenBytes = 128;  ///< of one; real ones have at most 40

/// Stops at a vocabulary beyond the limits. Errors: bad_tokenizer.
class VocabularyLimits {
 public:
  explicit VocabularyLimits(std::string path) : path_(std::move(path)) {}
  /// Counts one token more.
  void add(std::string_view token);

 private:
  std::string path_;
  std::size_t tokens_ = 0;
  std::size_t bytes_ = 0;
};

/// Errors: bad_tokenizer for more than kMaxAddedTokens.
void check_added_count(std::size_t count, const std::string& path);

/// Errors: bad_tokenizer for more than kMaxAddedTokenBytes.
void check_added_token(std::string_view content, const std::string& path);

/// Raises Error(bad_tokenizer) for a file of a tokenizer folder; without advice in `facts` it says
/// where to get a good one.
[[noreturn]] void bad_tokenizer(std::string sentence,
                                const std::string& path,
                                ErrorFacts facts = {});

/// What tokenizer_config.json, special_tokens_map.json and added_tokens.json say; all of them may
/// be absent.
struct TokenizerConfig {
  std::string tokenizer_class;              ///< empty where not stated
  std::map<std::string, AddedToken> named;  ///< "bos_token", "eos_token", "unk_token", "pad_token"
  std::vector<AddedToken> added;            ///< added_tokens_decoder or added_tokens.json, with ids
  std::vector<std::string> additional;      ///< additional_special_tokens
  std::int64_t model_max_length = 0;        ///< 0: not stated, or the placeholder for "no limit"
  std::optional<std::int64_t> extra_ids;    ///< T5: number of sentinels
  bool legacy = true;                       ///< T5, slow class: null and absent mean true
  bool add_prefix_space = true;             ///< T5, slow class
};

/// Errors: json_syntax, bad_tokenizer.
TokenizerConfig read_tokenizer_config(const std::string& dir);

/// "content", or an object as added_tokens hold it. Errors: bad_tokenizer.
AddedToken parse_added_token(const Json& value, const std::string& path);

/// The string member "type" of an object; empty where there is none.
std::string type_of(const Json& object);

/// Stops unless the ids of added tokens that the vocabulary lacks follow it without gaps.
/// Errors: bad_tokenizer.
void require_ids_behind(std::vector<std::int64_t> ids,
                        std::int64_t vocab_size,
                        const std::string& path);

/// A named special token, or the class's own spelling where the files do not state it.
AddedToken named_token(const TokenizerConfig& config,
                       const std::string& name,
                       const std::string& fallback);

/// A BPE vocabulary and its merges.
struct BpeTables {
  std::vector<std::string> tokens;                          ///< by id, without gaps
  std::vector<std::pair<std::string, std::string>> merges;  ///< by rank
  std::string vocab_path, merges_path;                      ///< for errors
};

/// vocab.json and merges.txt. Errors: file_not_found, bad_tokenizer.
BpeTables read_bpe_files(const std::string& dir);

/// One entry of a Unigram vocabulary; its position is its id.
struct UnigramPiece {
  std::string text;
  double score;         ///< of tokenizer.json: read as the tokenizers library does (lossy_float.h)
  bool hidden = false;  ///< has an id, but is never found in a text
};

/// tokenizer.json: the model's tables, and everything else as a document.
struct TokenizerJson {
  std::string path;
  Json document = Json::object();  ///< every member but "model"
  Json model = Json::object();     ///< members of "model" but "vocab" and "merges"
  std::string model_type;
  BpeTables bpe;                     ///< BPE only
  std::vector<UnigramPiece> pieces;  ///< Unigram only
  std::vector<AddedToken> added_tokens;
};

/// Errors: file_not_found, bad_tokenizer (also for a model that is neither BPE nor Unigram).
TokenizerJson read_tokenizer_json(const std::string& path);

/// The ids that the post-processor puts around a single text.
struct Template {
  std::vector<std::int64_t> prefix, suffix;
};

/// Reads RobertaProcessing and TemplateProcessing. Errors: bad_tokenizer.
Template read_post_processor(const TokenizerJson& file);

}  // namespace ditq
