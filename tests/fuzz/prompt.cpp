// A prompt of any bytes to the tokenizers of the bundled model.

#include <memory>

#include "harness.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ditq;
  static const std::string folder = DITQ_TINY_FLUX;
  static const std::unique_ptr<const Tokenizer> tokenizers[] = {
      load_clip_tokenizer(folder + "/tokenizer", ClipTokenizerClass::fast),
      load_clip_tokenizer(folder + "/tokenizer", ClipTokenizerClass::slow),
      load_t5_tokenizer(folder + "/tokenizer_2")};
  for (const auto& tokenizer : tokenizers) {
    fuzz::read("", [&] {
      const Encoding encoding =
          tokenizer->encode(fuzz::text_of(data, size), /*max_length=*/77, /*pad=*/false);
      fuzz::require(encoding.ids.size() <= 77, "an encoding keeps its limit");
      fuzz::require(encoding.truncated == (encoding.untruncated_length > 77), "truncation is told");
    });
  }
  return 0;
}
