#include "pipeline/components.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "convert/component_source.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

/// Components that the index names and that are there: entries are [library, class], absent ones [null, null].
std::vector<std::string> component_names(const Json& index) {
  std::vector<std::string> names;
  for (const auto& [key, value] : index.items()) {
    if (value.is_array() && value.size() == 2 && value[1].is_string()) names.push_back(key);
  }
  return names;
}

}  // namespace

ComponentFolders::ComponentFolders(const PipelineSources& sources)
    : path_(sources.model_path), overrides_(sources.components) {
  const std::string index_path = (fs::path(path_) / "model_index.json").string();
  if (!fs::exists(index_path)) {
    throw Error(
        ErrorCode::file_not_found, "not a pipeline",
        {.path = path_,
         .expected = "a diffusers folder with model_index.json",
         .found = fs::exists(path_) ? "none" : "no such folder",
         .advice =
             "Give a whole pipeline as --model-path and a transformer as --transformer-path"});
  }
  const Json index = read_json(index_path);
  pipeline_class_ = require_string(index, "_class_name", index_path);
  names_ = component_names(index);
  for (const auto& [component, folder] : overrides_) {
    if (std::find(names_.begin(), names_.end(), component) != names_.end()) continue;
    throw Error(
        ErrorCode::usage, fmt::format("the pipeline has no component '{}'", component),
        {.path = index_path, .expected = fmt::format("one of {}", fmt::join(names_, ", "))});
  }
}

std::string ComponentFolders::place(const std::string& component) const {
  const auto found = overrides_.find(component);
  return found != overrides_.end() ? found->second : (fs::path(path_) / component).string();
}

std::string ComponentFolders::folder(const std::string& component) const {
  const std::string path = place(component);
  if (fs::is_directory(path)) return path;
  throw Error(
      ErrorCode::file_not_found, fmt::format("the component '{}' is missing", component),
      {.path = path, .expected = "a folder", .found = fs::exists(path) ? "a file" : "nothing"});
}

Json ComponentFolders::document(const std::string& component, const std::string& file) const {
  return read_json((fs::path(folder(component)) / file).string());
}

Weights ComponentFolders::weights(const std::string& component,
                                  at::ScalarType dtype,
                                  at::Device device) const {
  return {std::make_shared<const Checkpoint>(open_component(folder(component))),
          {.dtype = dtype, .quant = {}, .device = device}};
}

}  // namespace ditq
