#include "quant/config.h"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>

#include "base/error.h"

namespace ditq {
namespace {

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

/// Glob with '*' only, over the whole text; linear backtracking to the last star.
bool matches(std::string_view pattern, std::string_view text) {
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;
  std::size_t resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

std::string optional_string(const Json& object, const char* key, const std::string& path) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return {};
  return require_string(object, key, path);
}

std::vector<std::string> string_list(const Json& object, const char* key, const std::string& path) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return {};
  if (!found->is_array()) {
    throw Error(ErrorCode::json_type, fmt::format("quantization_config: key '{}'", key),
                {.path = path, .expected = "a list of module names", .found = found->type_name()});
  }
  std::vector<std::string> out;
  for (const auto& entry : *found) {
    if (!entry.is_string()) {
      throw Error(ErrorCode::json_type, fmt::format("quantization_config: an entry of '{}'", key),
                  {.path = path, .expected = "a module name", .found = entry.type_name()});
    }
    out.push_back(entry.get<std::string>());
  }
  return out;
}

}  // namespace

std::string_view name(Scheme scheme) {
  switch (scheme) {
    case Scheme::none:
      return "bf16";
    case Scheme::fp8:
      return "fp8";
    case Scheme::nvfp4:
      return "nvfp4";
  }
  return "unknown";
}

bool QuantConfig::ignores(std::string_view module) const {
  return std::any_of(ignore.begin(), ignore.end(),
                     [&](const std::string& pattern) { return matches(pattern, module); });
}

QuantConfig parse_quant_config(const Json& config, const std::string& path) {
  if (!config.is_object()) {
    throw Error(ErrorCode::json_type, "quantization_config",
                {.path = path, .expected = "an object", .found = config.type_name()});
  }
  const bool nested = !config.contains("quant_algo") && config.contains("quantization") &&
                      config["quantization"].is_object();
  const Json& body = nested ? config["quantization"] : config;
  QuantConfig out;
  out.source = path;
  out.quant_algo = optional_string(body, "quant_algo", path);
  out.ignore = string_list(body, nested ? "exclude_modules" : "ignore", path);

  const std::string method = optional_string(config, "quant_method", path);
  const std::string algo = upper(out.quant_algo);
  const bool modelopt_method = method == "modelopt" || method == "modelopt_fp8" ||
                               method == "modelopt_fp4" || (method.empty() && nested);
  const bool implied_fp8 = method == "modelopt_fp8" && (algo.empty() || algo == "FP8");
  const bool implied_nvfp4 = method == "modelopt_fp4" && (algo.empty() || algo == "NVFP4");
  if (modelopt_method && (algo == "FP8" || implied_fp8) && method != "modelopt_fp4") {
    out.scheme = Scheme::fp8;
  } else if (modelopt_method && (algo == "NVFP4" || implied_nvfp4) && method != "modelopt_fp8") {
    out.scheme = Scheme::nvfp4;
  } else {
    throw Error(
        ErrorCode::wrong_quant_method, "quantization_config names a scheme that ditq does not load",
        {.path = path,
         .expected = "quant_method 'modelopt' with quant_algo 'FP8' or 'NVFP4'",
         .found = fmt::format("quant_method '{}' with quant_algo '{}'", method, out.quant_algo)});
  }
  return out;
}

}  // namespace ditq
