// A pattern and a text behind a line "----": compiled or refused, matched or given up in bounded time.

#include "base/regex.h"

#include "convert/ignore_list.h"
#include "harness.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ditq;
  const auto texts = fuzz::parts(fuzz::text_of(data, size));
  const std::string pattern(texts[0]);
  const std::string text(texts.size() > 1 ? texts[1] : "transformer_blocks.0.attn.to_q");
  fuzz::read("", [&] {
    const Regex regex(pattern);
    const bool whole = regex.full_match(text);
    fuzz::require(regex.search(text) || !whole, "a full match is a match");
    regex.replace(text, "<>");
  });
  fuzz::read("", [&] { IgnoreList({pattern}, "config.json").matches({text}); });
  return 0;
}
