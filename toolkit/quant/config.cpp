#include "quant/config.h"

#include <algorithm>
#include <cctype>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

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
  if (found->size() > kMaxIgnoreEntries) {
    throw Error(ErrorCode::bad_config, fmt::format("quantization_config: '{}' is too long", key),
                {.path = path,
                 .expected = fmt::format("at most {} entries", kMaxIgnoreEntries),
                 .found = fmt::format("{}", found->size())});
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

std::optional<bool> optional_bool(const Json& object, const char* key, const std::string& path) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return std::nullopt;
  if (found->is_boolean()) return found->get<bool>();
  throw Error(ErrorCode::json_type, fmt::format("quantization_config: key '{}'", key),
              {.path = path, .expected = "true or false", .found = found->dump()});
}

/// Adds the object's own group_size and those of its config groups' weights.
void add_group_sizes(const Json& object, const std::string& path, std::set<std::int64_t>& sizes) {
  const auto add = [&](const Json& holder) {
    if (!holder.is_object()) return;
    const auto found = holder.find("group_size");
    if (found == holder.end() || found->is_null()) return;
    if (!found->is_number_integer()) {
      throw Error(ErrorCode::json_type, "quantization_config: key 'group_size'",
                  {.path = path, .expected = "an integer", .found = found->dump()});
    }
    sizes.insert(found->get<std::int64_t>());
  };
  add(object);
  const auto groups = object.find("config_groups");
  if (groups == object.end() || !groups->is_object()) return;
  for (const Json& group : *groups) {
    if (group.is_object() && group.contains("weights")) add(group["weights"]);
  }
}

std::optional<std::int64_t> group_size(const Json& config,
                                       const Json& body,
                                       const std::string& path) {
  std::set<std::int64_t> sizes;
  add_group_sizes(config, path, sizes);
  add_group_sizes(body, path, sizes);
  if (sizes.empty()) return std::nullopt;
  if (sizes.size() > 1) {
    throw Error(ErrorCode::bad_config, "quantization_config gives several block sizes",
                {.path = path,
                 .expected = "one group_size",
                 .found = fmt::format("{}", fmt::join(sizes, ", "))});
  }
  constexpr std::int64_t kBlock = 16;
  if (*sizes.begin() != kBlock) {
    throw Error(
        ErrorCode::unsupported, "NVFP4 with another block size than 16 is not loaded",
        {.path = path, .expected = "group_size 16", .found = std::to_string(*sizes.begin())});
  }
  return kBlock;
}

std::optional<ScaleLayout> scale_layout(const Json& body, const std::string& path) {
  const std::string text = optional_string(body, "checkpoint_weight_scale_layout", path);
  if (text.empty()) return std::nullopt;
  for (const ScaleLayout layout : {ScaleLayout::linear, ScaleLayout::swizzled}) {
    if (text == name(layout)) return layout;
  }
  throw Error(ErrorCode::bad_config, "quantization_config: key 'checkpoint_weight_scale_layout'",
              {.path = path, .expected = "'linear' or 'swizzled'", .found = "'" + text + "'"});
}

Nvfp4Declaration read_nvfp4(const Json& config, const Json& body, const std::string& path) {
  return {.group_size = group_size(config, body, path),
          .swap_weight_nibbles = optional_bool(body, "swap_weight_nibbles", path),
          .packed_qkv = optional_bool(body, "checkpoint_uses_packed_qkv", path),
          .scale_layout = scale_layout(body, path)};
}

/// The scheme of a ModelOpt algorithm in upper case, or nothing for one that is not loaded.
std::optional<Scheme> scheme_of_algorithm(const std::string& algorithm) {
  if (algorithm == "FP8") return Scheme::fp8;
  if (algorithm == "FP8_PER_CHANNEL_PER_TOKEN") return Scheme::fp8_channel_token;
  if (algorithm == "NVFP4" || algorithm == "NVFP4_SVD") return Scheme::nvfp4;
  return std::nullopt;
}

/// Algorithms that ModelOpt writes or that others take for NVFP4; known, but not loaded.
bool is_known_algorithm(const std::string& algorithm) {
  constexpr std::string_view kKnown[] = {"FP4",
                                         "MXFP4",
                                         "MXFP8",
                                         "NVFP4_AWQ",
                                         "W4A16_NVFP4",
                                         "W4A8_NVFP4_FP8",
                                         "W4A16_AWQ",
                                         "W4A8_AWQ",
                                         "MIXED_PRECISION",
                                         "FP8_PB_WO",
                                         "FP8_PB_REAL",
                                         "INT8_SQ",
                                         "W8A8_SQ_PER_CHANNEL"};
  return std::find(std::begin(kKnown), std::end(kKnown), algorithm) != std::end(kKnown);
}

/// The scheme that method and algorithm mean together, or nothing.
std::optional<Scheme> scheme_of(const std::string& method, const std::string& algorithm) {
  const std::optional<Scheme> declared = method == "modelopt_fp8"   ? std::optional(Scheme::fp8)
                                         : method == "modelopt_fp4" ? std::optional(Scheme::nvfp4)
                                                                    : std::nullopt;
  if (algorithm.empty()) return declared;
  const std::optional<Scheme> meant = scheme_of_algorithm(algorithm);
  const bool agree = !declared || declared == meant ||
                     (declared == Scheme::fp8 && meant == Scheme::fp8_channel_token);
  return agree ? meant : std::nullopt;
}

}  // namespace

std::string_view name(ScaleLayout layout) {
  return layout == ScaleLayout::linear ? "linear" : "swizzled";
}

std::string_view name(Scheme scheme) {
  switch (scheme) {
    case Scheme::none:
      return "bf16";
    case Scheme::fp8:
      return "fp8";
    case Scheme::fp8_channel_token:
      return "fp8-channel-token";
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
  const std::string algorithm = upper(out.quant_algo);
  const bool is_modelopt = method == "modelopt" || method == "modelopt_fp8" ||
                           method == "modelopt_fp4" || (method.empty() && nested);
  const std::optional<Scheme> scheme =
      is_modelopt ? scheme_of(method, algorithm) : std::optional<Scheme>();
  if (!scheme) {
    const bool known = is_modelopt && is_known_algorithm(algorithm);
    throw Error(
        known ? ErrorCode::unsupported : ErrorCode::wrong_quant_method,
        "quantization_config names a scheme that ditq does not load",
        {.path = path,
         .expected = "quant_method 'modelopt' with quant_algo 'FP8', 'FP8_PER_CHANNEL_PER_TOKEN', "
                     "'NVFP4' or 'NVFP4_SVD'",
         .found = fmt::format("quant_method '{}' with quant_algo '{}'", method, out.quant_algo)});
  }
  out.scheme = *scheme;
  if (out.scheme == Scheme::nvfp4) {
    out.nvfp4 = read_nvfp4(config, body, path);
    out.nvfp4.svdquant = algorithm == "NVFP4_SVD";
  }
  return out;
}

}  // namespace ditq
