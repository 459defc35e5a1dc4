// A tokenizer folder of tokenizer.json and, behind a line "----", tokenizer_config.json.

#include "harness.h"
#include "tokenizer_text.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ditq::fuzz;
  static Folder folder;
  const auto texts = parts(text_of(data, size));
  folder.put("tokenizer.json", texts[0]);
  folder.put("tokenizer_config.json", texts.size() > 1 ? texts[1] : "{}");
  // Half of all inputs for each class.
  load_and_use(folder.path(),
               size % 2 == 0 ? ditq::ClipTokenizerClass::fast : ditq::ClipTokenizerClass::slow);
  return 0;
}
