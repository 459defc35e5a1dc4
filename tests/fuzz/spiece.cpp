// A tokenizer folder of spiece.model alone.

#include "harness.h"
#include "tokenizer_text.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ditq::fuzz;
  static Folder folder;
  folder.put("spiece.model", text_of(data, size));
  load_and_use(folder.path());
  return 0;
}
