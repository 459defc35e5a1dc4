#include "convert/modelopt_config.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"

namespace ditq {
namespace {

Json quantization_of(const ModeloptConfig& document, const std::string& wanted) {
  if (!document.config.is_object()) {
    throw Error(ErrorCode::json_type, "the config must be a JSON object",
                {.path = document.path, .found = document.config.type_name()});
  }
  const auto found = document.config.find("quantization_config");
  if (found != document.config.end() && found->is_object()) return *found;
  throw Error(
      ErrorCode::not_quantized, "the config has no quantization_config object",
      {.path = document.path,
       .expected = wanted,
       .found = found == document.config.end() ? "no quantization_config" : found->type_name()});
}

void check_method(const ModeloptConfig& document) {
  const auto method = document.quantization.find("quant_method");
  if (method != document.quantization.end() && *method == "modelopt") return;
  throw Error(
      ErrorCode::wrong_quant_method, "quantization_config is not ModelOpt's",
      {.path = document.path,
       .expected = R"(quant_method "modelopt")",
       .found = method == document.quantization.end() ? "no quant_method" : method->dump()});
}

std::vector<std::string> ignore_of(const ModeloptConfig& document) {
  std::vector<std::string> entries;
  const auto found = document.quantization.find("ignore");
  if (found == document.quantization.end() || found->is_null()) return entries;
  const bool usable =
      found->is_array() && std::all_of(found->begin(), found->end(),
                                       [](const Json& entry) { return entry.is_string(); });
  if (!usable) {
    throw Error(ErrorCode::json_type, "quantization_config.ignore must be a list of strings",
                {.path = document.path, .found = found->dump().substr(0, 200)});
  }
  for (const Json& entry : *found) entries.push_back(entry.get<std::string>());
  return entries;
}

}  // namespace

ModeloptConfig read_modelopt_config(const std::string& folder, const std::string& wanted) {
  ModeloptConfig document;
  document.path = (std::filesystem::path(folder) / "config.json").string();
  document.config = read_json(document.path);
  document.quantization = quantization_of(document, wanted);
  check_method(document);
  document.ignore = ignore_of(document);
  return document;
}

}  // namespace ditq
