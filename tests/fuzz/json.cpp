// config.json and its like: parsed, printed as Python prints it, and read for what it says about quantization.

#include "base/json.h"

#include "convert/ignore_list.h"
#include "convert/modelopt_config.h"
#include "family/detect.h"
#include "harness.h"
#include "quant/config.h"

namespace ditq::fuzz {
namespace {

/// What is printed is read again as the same document.
void print(const Json& value, const std::string& path) {
  const std::string text = dump_json(value);
  require(dump_json(parse_json(text, path)) == text, "a printed document reads back");
  const std::string pretty = dump_json(value, {.indent = 2, .sort_keys = true});
  require(dump_json(parse_json(pretty, path), {.indent = 2, .sort_keys = true}) == pretty,
          "a sorted and indented document reads back");
}

void read_quantization(const Json& document, const std::string& path) {
  const QuantConfig config = parse_quant_config(document, path);
  for (const char* module : {"transformer_blocks.0.attn.to_q", "", "proj_out"})
    config.ignores(module);
  const IgnoreList list(config.ignore, path);
  list.matches({"transformer_blocks.0.attn.to_q", "single_transformer_blocks.37.proj_mlp"});
}

}  // namespace
}  // namespace ditq::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ditq;
  static fuzz::Folder folder;
  const std::string& path = folder.put("config.json", fuzz::text_of(data, size));
  Json document;
  if (!fuzz::read(path, [&] { document = read_json(path); })) return 0;
  fuzz::print(document, path);
  fuzz::read("", [&] { fuzz::read_quantization(document, path); });
  fuzz::read("", [&] { read_modelopt_config(folder.path(), "an export"); });
  fuzz::read("", [&] { detect(document, {{"x_embedder.weight", {.shape = {3072, 64}}}}, {}); });
  return 0;
}
