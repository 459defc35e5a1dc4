// ditq tokenize: the token ids that a text encoder would get, for comparison with other tokenizers.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/log.h"
#include "commands.h"
#include "flags.h"
#include "prompts.h"
#include "terminal.h"
#include "text/tokenizer.h"

namespace ditq {
namespace {

struct TokenizeRequest {
  std::string tokenizer;
  std::vector<std::string> texts;
  std::string file;
  std::int64_t max_length = 0;
  bool pad = false;
  std::string clip_tokenizer = "fast";
};

bool parse(const Arguments& arguments, TokenizeRequest& request) {
  Flags flags(
      "tokenize", "--tokenizer DIR (--text TEXT | --file FILE) [flags]",
      "Print the token ids of prompts as JSON: one list per prompt, special tokens included.");
  flags.group("Input");
  flags.add("tokenizer", request.tokenizer, "DIR", "A CLIP or T5 tokenizer folder of a pipeline")
      .required()
      .path();
  flags.add("text", request.texts, "TEXT", "A prompt; may be repeated");
  flags
      .add("file", request.file, "FILE",
           "One prompt a line; or a .json file with a list of strings")
      .path();
  flags.group("How");
  flags.add("max-length", request.max_length, "N", "Cut to this many ids (default: no limit)")
      .at_least(1);
  flags.add("pad", request.pad, "Fill up to --max-length");
  flags
      .add("clip-tokenizer", request.clip_tokenizer, "CLASS",
           "Which of transformers' CLIP classes to follow: fast (SGLang, transformers 5; default) "
           "or slow")
      .choices({"fast", "slow"});
  if (!flags.parse(arguments)) return false;
  if (request.texts.empty() == request.file.empty()) {
    throw Error(ErrorCode::usage, "one of --text and --file is needed",
                {.advice = "See 'ditq tokenize --help'"});
  }
  if (request.pad && request.max_length == 0) {
    throw Error(ErrorCode::usage, "--pad needs --max-length",
                {.advice = "See 'ditq tokenize --help'"});
  }
  return true;
}

}  // namespace

ExitCode run_tokenize(const Arguments& arguments) {
  TokenizeRequest request;
  if (!parse(arguments, request)) return ExitCode::done;
  const std::vector<std::string> prompts =
      request.file.empty() ? request.texts : read_prompts(request.file);
  const auto clip_class =
      request.clip_tokenizer == "slow" ? ClipTokenizerClass::slow : ClipTokenizerClass::fast;
  const auto tokenizer = load_tokenizer(request.tokenizer, clip_class);

  std::vector<std::string> lists;
  for (const std::string& prompt : prompts) {
    const Encoding encoding = tokenizer->encode(prompt, request.max_length, request.pad);
    if (encoding.truncated) {
      log_warning(fmt::format("cut to {} of {} ids, without: {}", encoding.length,
                              encoding.untruncated_length, encoding.dropped));
    }
    lists.push_back(fmt::format("  [{}]", fmt::join(encoding.ids, ", ")));
  }
  write_output(lists.empty() ? "[]\n" : fmt::format("[\n{}\n]\n", fmt::join(lists, ",\n")));
  return ExitCode::done;
}

}  // namespace ditq
