// SentencePiece's character map: no lookup leaves its array.

#include "text/charsmap.h"

#include "harness.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ditq;
  fuzz::read("", [&] {
    const Charsmap map(fuzz::text_of(data, size), "spiece.model");
    std::string keys = "\u00e9 e\u0301 \uff21\u200d\U0001F600";
    for (char c = 1; c < 0x7f; ++c) keys.push_back(c);
    map.normalize(keys);
    for (std::size_t at = 0; at < keys.size(); ++at) map.longest(std::string_view(keys).substr(at));
  });
  return 0;
}
