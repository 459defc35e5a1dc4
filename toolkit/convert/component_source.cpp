#include "convert/component_source.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/regex.h"
#include "convert/quant_source.h"

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

Json component_config(const std::string& folder) {
  Json config = Json::object();
  const std::string generation = (fs::path(folder) / "generation_config.json").string();
  if (fs::exists(generation)) config = read_config_object(generation);
  config.update(read_config_object((fs::path(folder) / "config.json").string()));
  return config;
}

/// What the shards' metadata calls `config`, as SGLang's builders write it; an empty object without.
Json metadata_config(const Checkpoint& checkpoint) {
  const SafetensorsFile& first = checkpoint.shards().at(checkpoint.first_shard());
  const auto found = first.metadata.find("config");
  if (found == first.metadata.end()) return Json::object();
  Json config = parse_json(found->second, first.path + ", metadata 'config'");
  return config.is_object() && config.contains("_class_name") ? config : Json::object();
}

TensorTable table_of(const Checkpoint& checkpoint) {
  TensorTable table;
  for (const auto& [name, info] : checkpoint.tensors()) table[name] = {info->dtype, info->shape};
  return table;
}

/// The diffusers config that the tensors have. Errors: unknown_family, bad_config, missing_tensor.
Json deduced_config(const TransformerSource& source) {
  const FamilySpec* family = source.detection.family;
  if (family == nullptr || family->deduce_config == nullptr) {
    throw Error(family == nullptr ? ErrorCode::unknown_family : ErrorCode::bad_config,
                "there is no config, and the tensors do not tell the architecture",
                {.path = source.checkpoint->path(),
                 .expected = "config.json beside it, or names of FLUX.1 or FLUX.2",
                 .found = family == nullptr ? "names of no known family" : family->title + " names",
                 .advice = "Give it as --transformer-weights-path beside a base transformer"});
  }
  return family->deduce_config(plain_table(*source.tensors), source.checkpoint->path());
}

/// Fills in a missing config.
void deduce_architecture(TransformerSource& source, const ResolveOptions& options) {
  try {
    source.config = deduced_config(source);
    source.reasons.emplace_back("architecture deduced from the tensors; there is no config.json");
  } catch (const Error& error) {
    if (options.needs_architecture) throw;
    source.reasons.emplace_back(error.what());
  }
}

std::string weight_files(const std::string& weights) {
  const bool inner = fs::is_directory(weights) && !fs::exists(fs::path(weights) / "config.json") &&
                     fs::is_directory(fs::path(weights) / "transformer");
  return inner ? (fs::path(weights) / "transformer").string() : weights;
}

/// What is declared; where somebody takes the errors, what the tensors say instead.
QuantFinding quantization_of(const QuantPlaces& places, const ResolveOptions& options) {
  if (!options.on_error) return find_quantization(places);
  try {
    return find_quantization(places);
  } catch (const Error& error) {
    options.on_error("", error);
    return infer_quantization(places);
  }
}

void append(const std::vector<std::string>& more, std::vector<std::string>& to) {
  to.insert(to.end(), more.begin(), more.end());
}

/// Opens the files and reads the config. False: there is none.
bool open_source(const std::string& component,
                 const std::string& files,
                 TransformerSource& source) {
  const bool is_file = fs::is_regular_file(component);
  const fs::path folder =
      is_file ? fs::absolute(component).parent_path() : fs::path(component_folder(component));
  source.config_path = (folder / "config.json").string();
  source.config = Json::object();
  if (!is_file || fs::exists(source.config_path)) source.config = component_config(folder.string());
  const std::string chosen = !files.empty() ? files : is_file ? component : folder.string();
  source.checkpoint = std::make_shared<const Checkpoint>(open_component(chosen));
  if (!is_file || fs::exists(source.config_path)) return true;
  source.config_path = source.checkpoint->path();
  source.config = metadata_config(*source.checkpoint);
  if (source.config.empty()) return false;
  source.reasons.emplace_back("architecture from the file's metadata; there is no config.json");
  return true;
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

TransformerSource resolve_transformer(const std::string& component,
                                      const std::string& weights,
                                      const ResolveOptions& options) {
  TransformerSource source;
  const std::string files = weights.empty() ? weights : weight_files(weights);
  if (!weights.empty()) source.reasons.push_back("weights from " + files);
  const bool has_config = open_source(component, files, source);

  const Json& config = source.config;
  source.detection =
      detect(has_config ? config : Json(nullptr), table_of(*source.checkpoint),
             source.checkpoint->shards().at(source.checkpoint->first_shard()).metadata);
  const QuantFinding found = quantization_of({.checkpoint = source.checkpoint.get(),
                                              .config = has_config ? &config : nullptr,
                                              .config_path = source.config_path,
                                              .weights = files,
                                              .mark = source.detection.mark},
                                             options);
  NormalizedTensors normalized = normalize({.checkpoint = source.checkpoint,
                                            .mark = source.detection.mark,
                                            .quant = found.config,
                                            .comfy = found.comfy,
                                            .access = options.access,
                                            .on_error = options.on_error});
  source.quant = found.config;
  source.quant.ignore = std::move(normalized.ignore);
  source.tensors = std::move(normalized.view);
  source.unswizzled = std::move(normalized.unswizzled);
  source.undeclared = std::move(normalized.undeclared);
  append(found.reasons, source.reasons);
  append(normalized.reasons, source.reasons);
  if (!has_config) deduce_architecture(source, options);
  const FamilySpec* family = source.detection.family;
  source.detection.variant =
      family == nullptr ? nullptr
                        : find_variant(*family, source.config, plain_table(*source.tensors));
  return source;
}

}  // namespace ditq
