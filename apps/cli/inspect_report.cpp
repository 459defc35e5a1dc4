#include "inspect_report.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <memory>

#include <fmt/format.h>

#include "base/error.h"
#include "base/module_name.h"
#include "convert/component_source.h"
#include "convert/name_variants.h"
#include "convert/normalized_view.h"
#include "convert/quant_source.h"
#include "convert/scale_map.h"
#include "family/detect.h"
#include "format/checkpoint.h"
#include "format/torch_pickle.h"
#include "inspect_layers.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

std::uint64_t folder_bytes(const fs::path& folder) {
  std::uint64_t bytes = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) bytes += entry.file_size();
  }
  return bytes;
}

bool has_safetensors(const fs::path& folder) {
  return std::any_of(fs::directory_iterator(folder), fs::directory_iterator(),
                     [](const auto& entry) { return entry.path().extension() == ".safetensors"; });
}

/// The config beside the weights, else the one in their metadata; a null value without either.
Json find_config(const fs::path& folder, const std::map<std::string, std::string>& metadata) {
  const fs::path file = folder / "config.json";
  if (fs::is_regular_file(file)) return read_json(file.string());
  const auto found = metadata.find("config");
  if (found == metadata.end()) return nullptr;
  return parse_json(found->second, folder.string() + ", metadata 'config'");
}

std::string text_member(const Json& object, const char* key) {
  if (!object.is_object()) return {};
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

/// diffusers' _class_name, else the first of transformers' architectures.
std::string class_name_of(const Json& config) {
  const std::string name = text_member(config, "_class_name");
  if (!name.empty() || !config.is_object() || !config.contains("architectures")) return name;
  const Json& architectures = config["architectures"];
  const bool usable =
      architectures.is_array() && !architectures.empty() && architectures[0].is_string();
  return usable ? architectures[0].get<std::string>() : std::string();
}

/// The document that declares a quantization, and where it stood; a null value without one.
std::pair<Json, std::string> declaration(const Json& config,
                                         const std::map<std::string, std::string>& metadata) {
  if (config.is_object() && config.contains("quantization_config")) {
    return {config["quantization_config"], "config.json"};
  }
  for (const char* key : {"_quantization_metadata", "quantization_config"}) {
    const auto found = metadata.find(key);
    if (found != metadata.end()) {
      return {parse_json(found->second, key), fmt::format("the shards' metadata ({})", key)};
    }
  }
  return {nullptr, ""};
}

/// How ditq reads the files, decision by decision, or why it does not. Returns what is declared about layers; nothing
/// where the tensors alone tell, since a list made from them gives no reasons.
QuantConfig describe_loading(const std::shared_ptr<const Checkpoint>& checkpoint,
                             const Json& config,
                             Detection& detection,
                             CheckpointReport& report) {
  try {
    QuantFinding found = find_quantization({.checkpoint = checkpoint.get(),
                                            .config = config.is_object() ? &config : nullptr,
                                            .config_path = "config.json",
                                            .mark = detection.mark});
    const NormalizedTensors normalized = normalize({.checkpoint = checkpoint,
                                                    .mark = detection.mark,
                                                    .quant = found.config,
                                                    .comfy = found.comfy});
    report.reasons.insert(report.reasons.end(), found.reasons.begin(), found.reasons.end());
    report.reasons.insert(report.reasons.end(), normalized.reasons.begin(),
                          normalized.reasons.end());
    if (detection.variant == nullptr && detection.family != nullptr) {
      detection.variant = find_variant(*detection.family, config, plain_table(*normalized.view));
    }
    if (!found.declared) return {};
    report.ignored = found.config.ignore.size();
    if (report.quant_algo.empty()) report.quant_algo = found.config.quant_algo;
    found.config.ignore = normalized.ignore;
    return found.config;
  } catch (const Error& error) {
    report.reasons.push_back(fmt::format("ditq does not load it: {}", error.what()));
    return {};
  }
}

bool is_scale(const std::string& name) {
  constexpr std::string_view kSuffixes[] = {".weight_scale", ".weight_scale_2", ".input_scale",
                                            ".pre_quant_scale", ".comfy_quant"};
  return std::any_of(std::begin(kSuffixes), std::end(kSuffixes),
                     [&](std::string_view suffix) { return name.ends_with(suffix); });
}

void count_tensors(const Checkpoint& checkpoint, CheckpointReport& report) {
  for (const auto& [name, tensor] : checkpoint.tensors()) {
    DtypeTotals& totals = report.dtypes[std::string(ditq::name(tensor->dtype))];
    ++totals.tensors;
    totals.bytes += tensor->size;
    ++report.tensors;
    report.bytes += tensor->size;
    const bool packed = tensor->dtype == Dtype::u8 && name.ends_with(".weight");
    if (!is_scale(name)) report.parameters += tensor->elements() * (packed ? 2 : 1);
  }
}

void set_detection(const Detection& detection, CheckpointReport& report) {
  if (detection.family != nullptr) {
    report.family = detection.family->name;
    report.title = detection.family->title;
  }
  if (detection.variant != nullptr) report.variant = detection.variant->name;
  report.dialect = detection.dialect;
  report.scheme = detection.scheme;
}

CheckpointReport inspect_checkpoint(const std::string& path) {
  const bool is_folder = fs::is_directory(path);
  const auto checkpoint = std::make_shared<const Checkpoint>(open_component(path));
  const auto& metadata = checkpoint->shards().at(checkpoint->first_shard()).metadata;
  const Json config =
      find_config(is_folder ? fs::path(path) : fs::path(path).parent_path(), metadata);
  TensorTable table;
  for (const auto& [name, tensor] : checkpoint->tensors())
    table[name] = {tensor->dtype, tensor->shape};

  CheckpointReport report{.path = path, .class_name = class_name_of(config)};
  Detection detection = detect(config, table, metadata);
  report.reasons = detection.reasons;
  report.kind = !is_folder ? "file" : detection.family != nullptr ? "transformer" : "component";
  const auto [declared, source] = declaration(config, metadata);
  report.quant_source = source;
  report.quant_method = text_member(declared, "quant_method");
  report.quant_algo = text_member(declared, "quant_algo");
  const QuantConfig quant = describe_loading(checkpoint, config, detection, report);
  set_detection(detection, report);
  for (const auto& [name, shard] : checkpoint->shards()) {
    report.files.push_back({.name = name, .bytes = fs::file_size(shard.path)});
  }
  report.index = checkpoint->index_name().value_or("");
  count_tensors(*checkpoint, report);
  report.layers = inspect_layers(*checkpoint, detection, quant);
  return report;
}

/// Adds the tensors of a torch checkpoint, however deep they lie.
void count_torch(const PickleValue& value, CheckpointReport& report) {
  if (const TorchTensor* tensor = value.tensor()) {
    const Dtype dtype = tensor->storage.dtype;
    const std::uint64_t bytes = byte_size(dtype, tensor->shape).value_or(0);
    DtypeTotals& totals = report.dtypes[std::string(name(dtype))];
    ++totals.tensors;
    totals.bytes += bytes;
    ++report.tensors;
    report.bytes += bytes;
  }
  if (const auto* dict = value.dict()) {
    for (const auto& [key, member] : *dict) count_torch(*member, report);
  }
  if (const auto* list = std::get_if<PickleValue::List>(&value.data)) {
    for (const auto& member : *list) count_torch(*member, report);
  }
}

/// The calibration of a ModelOpt checkpoint as layers with the scales that build-fp8 would give them.
void add_calibration(const std::string& path, CheckpointReport& report) {
  constexpr float kMaxE4m3 = 448.0f;
  const AmaxTable amax = read_amax_table(path);
  for (const auto& [tensor, values] : amax.layers) {
    report.layers.push_back(
        {.name = module_of(tensor),
         .stored = "amax",
         .weight_scale = values.weight / kMaxE4m3,
         .input_scale = values.input / kMaxE4m3,
         .note = fmt::format("amax {:.6g} and {:.6g}", values.weight, values.input)});
  }
  for (const auto& [tensor, missing] : amax.half) {
    report.layers.push_back(
        {.name = module_of(tensor), .stored = "amax", .note = "lacks " + missing});
  }
  std::sort(
      report.layers.begin(), report.layers.end(),
      [](const LayerReport& a, const LayerReport& b) { return natural_less(a.name, b.name); });
  report.scheme = "calibration";
  report.reasons.push_back(
      fmt::format("calibrated: {} layers have weight and input amax, {} only one of them",
                  amax.layers.size(), amax.half.size()));
}

CheckpointReport inspect_torch(const std::string& path) {
  CheckpointReport report{
      .path = path, .kind = "torch checkpoint", .dialect = "unknown", .scheme = "unknown"};
  const PicklePtr value = read_torch_checkpoint(path);
  report.files.push_back(
      {.name = fs::path(path).filename().string(), .bytes = fs::file_size(path)});
  count_torch(*value, report);
  if (value->find("model_state_dict") != nullptr) add_calibration(path, report);
  return report;
}

/// A component of a pipeline; what cannot be read is part of the report, so that the others are seen.
ComponentReport inspect_component(const fs::path& pipeline,
                                  const std::string& name,
                                  const Json& entry) {
  ComponentReport component{.name = name};
  const bool named = entry.size() == 2 && entry[1].is_string();
  component.class_name = named ? entry[1].get<std::string>() : std::string();
  const fs::path folder = pipeline / name;
  if (!named && entry.size() == 2 && entry[1].is_null()) {
    component.problem = "not part of this pipeline";
    return component;
  }
  if (!fs::is_directory(folder)) {
    component.problem = "the folder is missing";
    return component;
  }
  component.bytes = folder_bytes(folder);
  if (!has_safetensors(folder)) return component;
  try {
    component.checkpoint = inspect_checkpoint(folder.string());
  } catch (const Error& error) {
    component.problem = error.what();
  }
  return component;
}

InspectReport inspect_pipeline(const std::string& path, const Json& index) {
  InspectReport report{.path = path, .pipeline_class = text_member(index, "_class_name")};
  if (report.pipeline_class.empty()) report.pipeline_class = "unnamed pipeline";
  for (const auto& [name, entry] : index.items()) {
    if (entry.is_array()) report.components.push_back(inspect_component(path, name, entry));
  }
  return report;
}

bool is_torch_file(const fs::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".pt" || extension == ".pth" || extension == ".bin" || extension == ".ckpt";
}

}  // namespace

InspectReport inspect(const std::string& path) {
  const fs::path given(path);
  if (!fs::exists(given)) {
    throw Error(ErrorCode::file_not_found, "inspect: there is no such file or folder",
                {.path = path});
  }
  if (!fs::is_directory(given)) {
    return {.path = path,
            .checkpoint = is_torch_file(given) ? inspect_torch(path) : inspect_checkpoint(path)};
  }
  const fs::path index = given / "model_index.json";
  if (fs::is_regular_file(index)) return inspect_pipeline(path, read_json(index.string()));
  const fs::path inner = given / "transformer";
  const bool is_parent =
      !fs::exists(given / "config.json") && !has_safetensors(given) && fs::is_directory(inner);
  return {.path = path, .checkpoint = inspect_checkpoint(is_parent ? inner.string() : path)};
}

}  // namespace ditq
