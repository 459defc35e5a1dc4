#include "ptq/model_source.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "convert/component_source.h"
#include "family/registry.h"
#include "quant/cast.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

/// [library, class] of a component that is there; [null, null] of one that is not.
bool names_class(const Json& entry) {
  return entry.is_array() && entry.size() == 2 && entry[1].is_string();
}

Json read_object(const std::string& path) {
  Json document = read_json(path);
  if (document.is_object()) return document;
  throw Error(ErrorCode::json_type, "the document must be a JSON object",
              {.path = path, .found = document.type_name()});
}

/// What calibrations call a stored tensor; nothing for one of another network.
std::optional<std::string> known_name(const MergedExport* merged, const std::string& stored) {
  if (merged == nullptr) return stored;
  const auto is_other = [&stored](const std::string& prefix) { return stored.starts_with(prefix); };
  if (!stored.starts_with(merged->prefix) ||
      std::any_of(merged->excluded_prefixes.begin(), merged->excluded_prefixes.end(), is_other)) {
    return std::nullopt;
  }
  return merged->checkpoint_prefix + stored.substr(merged->prefix.size());
}

void check_unquantized(const ComponentSource& source) {
  if (source.config.contains("quantization_config")) {
    throw Error(ErrorCode::wrong_dtype, "the model is quantized already",
                {.path = source.config_path,
                 .expected = "a model in 16 or 32 bits",
                 .found = "a config with quantization_config"});
  }
  for (const auto& [name, tensor] : source.tensors) {
    if (!name.ends_with(".weight") || tensor.shape.size() < 2 || is_castable(tensor.dtype))
      continue;
    throw Error(ErrorCode::wrong_dtype, "a weight that is to be quantized must be a float",
                {.path = source.folder,
                 .tensor = name,
                 .expected = "BF16, F16 or F32",
                 .found = std::string(ditq::name(tensor.dtype))});
  }
}

}  // namespace

std::string PipelineSource::folder_of(const std::string& component) const {
  return is_component ? folder : (fs::path(folder) / component).string();
}

std::string PipelineSource::shown_path_of(const std::string& component) const {
  return is_component ? shown : (fs::path(shown) / component).string();
}

std::string ComponentSource::stored_name(const std::string& tensor) const {
  if (merged == nullptr || !tensor.starts_with(merged->checkpoint_prefix)) return tensor;
  return merged->prefix + tensor.substr(merged->checkpoint_prefix.size());
}

const TensorInfo* ComponentSource::find(const std::string& tensor) const {
  return tensors.contains(tensor) ? checkpoint->find(stored_name(tensor)) : nullptr;
}

const TensorInfo& ComponentSource::at(const std::string& tensor) const {
  return checkpoint->at(stored_name(tensor));
}

PipelineSource open_pipeline(const std::string& folder, const std::string& shown) {
  PipelineSource pipeline{.folder = folder, .shown = shown, .index = nullptr, .components = {}};
  while (pipeline.shown.size() > 1 && pipeline.shown.ends_with('/')) pipeline.shown.pop_back();
  const fs::path index = fs::path(folder) / "model_index.json";
  if (!is_file(index)) {
    pipeline.is_component = true;
    if (is_file(fs::path(folder) / "config.json")) return pipeline;
    throw Error(ErrorCode::file_not_found, "there is no model",
                {.path = folder,
                 .expected = "a folder with model_index.json, or config.json of one component",
                 .advice = "Name the model's folder with --override-model-path"});
  }
  pipeline.index = read_object(index.string());
  for (const auto& [name, entry] : pipeline.index.items()) {
    std::error_code ignored;
    if (names_class(entry) && fs::is_directory(fs::path(folder) / name, ignored)) {
      pipeline.components.push_back(name);
    }
  }
  return pipeline;
}

ComponentSource open_quantizable(const PipelineSource& pipeline, const std::string& component) {
  const auto& known = pipeline.components;
  if (!pipeline.is_component && std::find(known.begin(), known.end(), component) == known.end()) {
    throw Error(
        ErrorCode::usage, fmt::format("--backbone: the pipeline has no '{}'", component),
        {.path = pipeline.folder, .expected = fmt::format("one of {}", fmt::join(known, ", "))});
  }
  ComponentSource source{.name = component,
                         .folder = pipeline.folder_of(component),
                         .shown = pipeline.shown_path_of(component),
                         .config = nullptr,
                         .config_path = {},
                         .class_name = {},
                         .checkpoint = nullptr,
                         .tensors = {}};
  source.config_path = (fs::path(source.folder) / "config.json").string();
  source.config = read_object(source.config_path);
  source.class_name = require_string(source.config, "_class_name", source.config_path);
  source.family = family_of_class(source.class_name);
  source.checkpoint = std::make_shared<const Checkpoint>(open_component(source.folder));
  const FamilySpec* family = source.family;
  if (family != nullptr && family->merged_export &&
      family->merged_export->class_name == source.class_name) {
    source.merged = &*family->merged_export;
  }
  for (const auto& [stored, tensor] : source.checkpoint->tensors()) {
    const auto name = known_name(source.merged, stored);
    if (!name) continue;
    source.tensors[*name] = {.dtype = tensor->dtype, .shape = tensor->shape};
  }
  check_unquantized(source);
  return source;
}

}  // namespace ditq
