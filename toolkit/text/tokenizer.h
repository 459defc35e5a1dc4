#pragma once
// Text to token ids, equal to what transformers gives for the same files. See
// docs/formats/tokenizers.md.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ditq {

/// Longest text that is encoded, in bytes. No text encoder reads more than a few thousand tokens.
inline constexpr std::size_t kMaxPromptBytes = std::size_t{1} << 21;

/// One prompt as the text encoder gets it.
struct Encoding {
  std::vector<std::int64_t> ids;
  std::int64_t length = 0;              ///< ids that are no padding, special tokens included
  std::int64_t untruncated_length = 0;  ///< what length would be without a limit
  bool truncated = false;
  std::string
      dropped;  ///< the text that was cut off, as diffusers' warning words it: the decoded ids
};

/// What a tokenizer knows besides its algorithm.
struct TokenizerFacts {
  std::string kind;                  ///< "clip" or "t5"
  std::vector<std::int64_t> prefix;  ///< put in front of every text: CLIP's bos
  std::int64_t eos_id = 0;           ///< put behind every text
  std::int64_t pad_id = 0;
  std::int64_t unk_id = 0;
  std::int64_t vocab_size = 0;        ///< one more than the largest id
  std::int64_t model_max_length = 0;  ///< of tokenizer_config.json; 0 where it states none
  bool eos_once = false;  ///< no second eos behind a text that ends in one (slow T5 class)
};

/// A loaded tokenizer; immutable, usable from several threads.
class Tokenizer {
 public:
  explicit Tokenizer(TokenizerFacts facts) : facts_(std::move(facts)) {}
  virtual ~Tokenizer() = default;
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  const TokenizerFacts& facts() const { return facts_; }

  /// Prefix, text, eos; cut to `max_length` ids by dropping the end of the text (0: no limit), then
  /// filled with pad_id up to max_length when `pad`.
  /// Errors: bad_text for text that is not UTF-8 or longer than kMaxPromptBytes; usage for a max_length that the special tokens do
  /// not fit in, and for `pad` without max_length.
  Encoding encode(std::string_view utf8, std::int64_t max_length, bool pad) const;

  /// The text of ids, special tokens included, as transformers' decode prints it; for messages.
  /// Errors: usage for an id outside the vocabulary.
  virtual std::string decode(std::span<const std::int64_t> ids) const = 0;

 protected:
  /// The ids of a whole text without prefix and eos. The text is well-formed UTF-8.
  virtual std::vector<std::int64_t> tokenize(std::string_view utf8) const = 0;

 private:
  TokenizerFacts facts_;
};

/// Which of transformers' two CLIP tokenizers to follow; they differ on control characters, CJK and
/// final sigma.
enum class ClipTokenizerClass {
  fast,  ///< CLIPTokenizerFast, transformers 5, SGLang
  slow,  ///< the pure Python class that diffusers uses with transformers 4 (without ftfy)
};

/// CLIP's byte-level BPE from vocab.json and merges.txt, or from tokenizer.json where those are not
/// there.
/// Errors: file_not_found, json_syntax, bad_tokenizer naming the file and the contradiction.
std::unique_ptr<const Tokenizer> load_clip_tokenizer(const std::string& dir,
                                                     ClipTokenizerClass clip_class);

/// T5's Unigram from tokenizer.json as the tokenizers library reads it, or from spiece.model
/// through sentencepiece as the slow T5Tokenizer uses it where there is no tokenizer.json.
/// Errors: as load_clip_tokenizer.
std::unique_ptr<const Tokenizer> load_t5_tokenizer(const std::string& dir);

/// Either of them, decided by tokenizer_class of tokenizer_config.json, then by the files.
/// Errors: as load_clip_tokenizer; bad_tokenizer where the folder is of neither kind.
std::unique_ptr<const Tokenizer> load_tokenizer(
    const std::string& dir, ClipTokenizerClass clip_class = ClipTokenizerClass::fast);

}  // namespace ditq
