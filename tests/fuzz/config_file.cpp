// --config FILE: JSON where the input begins with a brace, YAML otherwise.

#include "config_file.h"

#include "harness.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ditq;
  static fuzz::Folder folder;
  const std::string_view text = fuzz::text_of(data, size);
  const std::string& path = folder.put(text.starts_with('{') ? "x.json" : "x.yaml", text);
  FlagNames names;
  names.component_paths = true;
  names.forms["width"] = {.name = "width", .kind = FlagKind::value};
  names.forms["keep-bf16-pattern"] = {.name = "keep-bf16-pattern", .kind = FlagKind::list};
  names.forms["overwrite"] = {.name = "overwrite", .kind = FlagKind::boolean};
  fuzz::read(path, [&] { config_arguments(path, names, {}); });
  return 0;
}
