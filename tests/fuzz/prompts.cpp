// A prompts file: lines, or a JSON list where the input begins with a bracket.

#include "prompts.h"

#include "base/log.h"
#include "harness.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ditq;
  static fuzz::Folder folder;
  const std::string_view text = fuzz::text_of(data, size);
  const std::string& path = folder.put(text.starts_with('[') ? "x.json" : "x.txt", text);
  fuzz::read(path, [&] {
    for (const std::string& prompt : read_prompts(path)) {
      fuzz::require(path.ends_with(".json") || prompt.find('\n') == std::string::npos,
                    "a line is one line");
    }
  });
  return 0;
}
