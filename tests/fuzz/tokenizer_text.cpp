#include "tokenizer_text.h"

#include <algorithm>

#include "harness.h"

namespace ditq::fuzz {
namespace {

constexpr const char* kRepeated =
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
constexpr const char* kTexts[] = {"", "a photo of a cat",
                                  "<|startoftext|> \u00c9t\u00e9  <extra_id_0></s>\t\n",
                                  "\u4e2d\u6587 \U0001F600\u200d\U0001F600 n't", kRepeated};

}  // namespace

void use(const Tokenizer& tokenizer) {
  const std::int64_t size = tokenizer.facts().vocab_size;
  for (const char* text : kTexts) {
    const Encoding encoding = tokenizer.encode(text, /*max_length=*/12, /*pad=*/true);
    require(encoding.ids.size() == 12, "an encoding is padded to its length");
    for (const std::int64_t id : encoding.ids)
      require(id >= 0 && id < size, "an id is in the vocabulary");
    tokenizer.decode(encoding.ids);
  }
}

void load_and_use(const std::string& folder, ClipTokenizerClass clip_class) {
  std::unique_ptr<const Tokenizer> tokenizer;
  if (!read(folder, [&] { tokenizer = load_tokenizer(folder, clip_class); })) return;
  read("", [&] { use(*tokenizer); });
}

}  // namespace ditq::fuzz
