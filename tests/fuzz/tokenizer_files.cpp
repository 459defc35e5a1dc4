// A tokenizer folder of vocab.json, merges.txt, tokenizer_config.json, special_tokens_map.json and added_tokens.json,
// parted by lines "----"; files whose part is missing are not there.

#include "harness.h"
#include "tokenizer_text.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ditq::fuzz;
  static Folder folder;
  const auto texts = parts(text_of(data, size));
  constexpr const char* kFiles[] = {"vocab.json", "merges.txt", "tokenizer_config.json",
                                    "special_tokens_map.json", "added_tokens.json"};
  for (std::size_t i = 0; i < std::size(kFiles); ++i) {
    if (i < texts.size()) {
      folder.put(kFiles[i], texts[i]);
    } else {
      folder.remove(kFiles[i]);
    }
  }
  // Half of all inputs for each class.
  load_and_use(folder.path(),
               size % 2 == 0 ? ditq::ClipTokenizerClass::fast : ditq::ClipTokenizerClass::slow);
  return 0;
}
