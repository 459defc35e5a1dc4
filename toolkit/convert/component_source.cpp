#include "convert/component_source.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "base/regex.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> safetensors_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".safetensors")) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool has_index(const std::string& folder) {
  return std::any_of(fs::directory_iterator(folder), fs::directory_iterator(),
                     [](const auto& entry) {
                       return entry.path().filename().string().ends_with(".safetensors.index.json");
                     });
}

/// Keeps the mixed-precision files where some, but not all, are.
void prefer_mixed(std::vector<std::string>& names) {
  const Regex mixed(R"(.*-mixed(?:-\d+-of-\d+)?\.safetensors$)");
  std::vector<std::string> kept;
  std::copy_if(names.begin(), names.end(), std::back_inserter(kept),
               [&](const std::string& name) { return mixed.full_match(name); });
  if (!kept.empty()) names = kept;
}

void drop_precision_variants(std::vector<std::string>& names) {
  const Regex variant(R"(^(.+?)\.(?:fp16|bf16|fp32)(-\d+-of-\d+)?(\.safetensors)$)");
  const std::set<std::string> all(names.begin(), names.end());
  std::erase_if(names, [&](const std::string& name) {
    return variant.full_match(name) && all.contains(variant.replace(name, "\\1\\2\\3"));
  });
}

std::string component_folder(const std::string& path) {
  if (fs::exists(fs::path(path) / "config.json")) return path;
  const fs::path inner = fs::path(path) / "transformer";
  if (fs::exists(inner / "config.json")) return inner.string();
  throw Error(ErrorCode::file_not_found, "no transformer here",
              {.path = path,
               .expected = "a folder with config.json, or with a folder 'transformer' that has one",
               .found = fs::exists(path) ? "neither" : "no such folder"});
}

Json read_object(const std::string& path) {
  Json value = read_json(path);
  if (!value.is_object()) {
    throw Error(ErrorCode::json_type, "the document is not what it should be",
                {.path = path, .expected = "an object", .found = value.type_name()});
  }
  return value;
}

Json component_config(const std::string& folder) {
  Json config = Json::object();
  const std::string generation = (fs::path(folder) / "generation_config.json").string();
  if (fs::exists(generation)) config = read_object(generation);
  config.update(read_object((fs::path(folder) / "config.json").string()));
  return config;
}

const Json* member(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

/// From the shards' metadata: `_quantization_metadata` first, then `quantization_config`.
std::optional<QuantConfig> from_metadata(const Checkpoint& checkpoint) {
  for (const auto& [shard, file] : checkpoint.shards()) {
    for (const char* key : {"_quantization_metadata", "quantization_config"}) {
      const auto found = file.metadata.find(key);
      if (found == file.metadata.end()) continue;
      const std::string where = fmt::format("{}, metadata '{}'", file.path, key);
      return parse_quant_config(parse_json(found->second, where), where);
    }
  }
  return std::nullopt;
}

std::optional<QuantConfig> from_config_beside(const std::string& weights) {
  const fs::path folder =
      fs::is_directory(weights) ? fs::path(weights) : fs::path(weights).parent_path();
  const std::string path = (folder / "config.json").string();
  if (!fs::exists(path)) return std::nullopt;
  const Json config = read_object(path);
  const Json* quant = member(config, "quantization_config");
  if (quant == nullptr) return std::nullopt;
  return parse_quant_config(*quant, path);
}

bool has_weight(const Checkpoint& checkpoint, Dtype dtype) {
  return std::any_of(checkpoint.tensors().begin(), checkpoint.tensors().end(),
                     [&](const auto& entry) {
                       return entry.second->dtype == dtype && entry.first.ends_with(".weight");
                     });
}

/// What the tensors themselves say.
std::optional<QuantConfig> from_tensors(const Checkpoint& checkpoint) {
  if (!has_weight(checkpoint, Dtype::f8_e4m3)) return std::nullopt;
  QuantConfig config;
  config.scheme = Scheme::fp8;
  config.source = "F8_E4M3 weights with scales; nothing declares them";
  return config;
}

QuantConfig resolve_quant(const TransformerSource& source, const std::string& weights) {
  if (const Json* quant = member(source.config, "quantization_config")) {
    return parse_quant_config(*quant, source.config_path);
  }
  if (const auto config = from_metadata(*source.checkpoint)) return *config;
  if (!weights.empty()) {
    if (const auto config = from_config_beside(weights)) return *config;
  }
  return from_tensors(*source.checkpoint).value_or(QuantConfig{});
}

void check_declared_scheme(const TransformerSource& source) {
  const bool missing =
      (source.quant.scheme == Scheme::fp8 && !has_weight(*source.checkpoint, Dtype::f8_e4m3)) ||
      (source.quant.scheme == Scheme::nvfp4 && !has_weight(*source.checkpoint, Dtype::u8));
  if (!missing) return;
  throw Error(
      ErrorCode::not_quantized,
      fmt::format("{} is declared, but no weight is stored so", name(source.quant.scheme)),
      {.path = source.checkpoint->path(),
       .expected = source.quant.scheme == Scheme::fp8 ? "F8_E4M3 weights" : "U8 weights",
       .found = "none",
       .advice = "Declared in " + source.quant.source +
                 ". Convert the export with 'ditq build-fp8', or remove quantization_config"});
}

}  // namespace

Checkpoint open_component(const std::string& path) {
  if (!fs::is_directory(path) || has_index(path)) return Checkpoint::open(path);
  std::vector<std::string> names = safetensors_in(path);
  prefer_mixed(names);
  drop_precision_variants(names);
  if (names.empty()) return Checkpoint::open(path);  // says what is missing
  return Checkpoint::open_files(path, names);
}

TransformerSource resolve_transformer(const std::string& component, const std::string& weights) {
  TransformerSource source;
  const std::string folder = component_folder(component);
  source.config = component_config(folder);
  source.config_path = (fs::path(folder) / "config.json").string();
  std::string files = folder;
  if (!weights.empty()) {
    const bool inner = fs::is_directory(weights) &&
                       !fs::exists(fs::path(weights) / "config.json") &&
                       fs::is_directory(fs::path(weights) / "transformer");
    files = inner ? (fs::path(weights) / "transformer").string() : weights;
    source.reasons.push_back("weights from " + files);
  }
  source.checkpoint = std::make_shared<const Checkpoint>(open_component(files));
  source.quant = resolve_quant(source, weights.empty() ? weights : files);
  if (source.quant.scheme != Scheme::none) {
    source.reasons.push_back(
        fmt::format("{} from {}", name(source.quant.scheme), source.quant.source));
  }
  check_declared_scheme(source);
  source.tensors = view_of(source.checkpoint);
  return source;
}

}  // namespace ditq
