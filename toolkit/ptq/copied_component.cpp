#include "ptq/copied_component.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>

#include "base/error.h"
#include "convert/component_source.h"
#include "family/registry.h"
#include "ptq/loaded_dtype.h"
#include "ptq/recipes.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 7> kOtherWeights = {".bin", ".msgpack", ".h5",        ".pt",
                                                           ".pth", ".ckpt",    ".index.json"};

bool is_weight_file(const std::string& name) {
  return std::any_of(kOtherWeights.begin(), kOtherWeights.end(),
                     [&name](std::string_view ending) { return name.ends_with(ending); });
}

bool has_safetensors(const std::string& folder) {
  std::error_code status;
  for (fs::directory_iterator entry(folder, status); !status && entry != fs::directory_iterator();
       entry.increment(status)) {
    if (entry->path().extension() == ".safetensors") return true;
  }
  return false;
}

std::string class_of(const Json& config) {
  const auto own = config.find("_class_name");
  if (own != config.end() && own->is_string()) return own->get<std::string>();
  const auto listed = config.find("architectures");
  const bool usable = listed != config.end() && listed->is_array() && !listed->empty() &&
                      listed->front().is_string();
  return usable ? listed->front().get<std::string>() : std::string();
}

const char* torch_name(Dtype dtype) {
  if (dtype == Dtype::f16) return "float16";
  return dtype == Dtype::bf16 ? "bfloat16" : "float32";
}

class CopiedComponent {
 public:
  CopiedComponent(const std::string& folder, const std::string& name, OutputPlan& plan)
      : folder_(folder), name_(name), plan_(plan) {}

  void plan(Dtype dtype, std::vector<std::shared_ptr<const Checkpoint>>& held) {
    plan_.side_files.push_back({.from = folder_, .to = name_, .is_folder = true});
    const fs::path config_path = fs::path(folder_) / "config.json";
    std::error_code ignored;
    if (fs::is_regular_file(config_path, ignored)) config_ = read_json(config_path.string());
    if (has_safetensors(folder_)) {
      held.push_back(std::make_shared<const Checkpoint>(open_component(folder_)));
      plan_weights(*held.back(), dtype);
    }
    plan_files();
    if (cast_ && config_.is_object()) plan_config(dtype);
  }

 private:
  void plan_weights(const Checkpoint& checkpoint, Dtype dtype) {
    const std::string class_name = config_.is_object() ? class_of(config_) : "";
    const LoadedDtype loaded(dtype, class_name, family_of_class(class_name));
    std::uint64_t total = 0;
    Json weight_map = Json::object();
    for (const auto& [file, shard] : checkpoint.shards()) {
      PlannedShard planned{.name = name_ + "/" + file, .tensors = {}, .metadata = shard.metadata};
      for (const TensorInfo& tensor : shard.tensors) {
        if (checkpoint.find(tensor.name) != &tensor) continue;  // the index names another copy
        planned.tensors.push_back(planned_tensor(tensor, loaded.of(tensor.name, tensor.dtype)));
        weight_map[tensor.name] = file;
        total += planned.tensors.back().target.size;
      }
      plan_.shards.push_back(std::move(planned));
    }
    if (!checkpoint.index_name()) return;
    Json index = Json::object();
    index["metadata"] = {{"total_size", total}};
    index["weight_map"] = std::move(weight_map);
    plan_.documents.push_back({name_ + "/" + *checkpoint.index_name(),
                               dump_json(index, {.indent = 2, .sort_keys = true}) + "\n"});
  }

  PlannedTensor planned_tensor(const TensorInfo& tensor, Dtype dtype) {
    if (tensor.dtype == dtype) {
      return {.target = {tensor.name, dtype, tensor.shape, tensor.size}, .copy_of = &tensor};
    }
    cast_ = true;
    return {.target = {tensor.name, dtype, tensor.shape, byte_size(dtype, tensor.shape).value()},
            .recipe = cast_recipe(tensor.dtype, dtype),
            .ingredient = &tensor};
  }

  void plan_files() {
    bool other_weights = false;
    for (SideFile& file : list_side_files(folder_, {})) {
      const bool weights = is_weight_file(file.to);
      other_weights = other_weights || (weights && !file.to.ends_with(".index.json"));
      if (weights || (cast_ && file.to == "config.json")) continue;
      file.to = name_ + "/" + file.to;
      plan_.side_files.push_back(std::move(file));
    }
    if (other_weights && !has_safetensors(folder_)) {
      throw Error(ErrorCode::unsupported, "the component has no weights in safetensors files",
                  {.path = folder_, .advice = "Save the pipeline with safe_serialization"});
    }
  }

  void plan_config(Dtype dtype) {
    for (const char* key : {"dtype", "torch_dtype"}) {
      if (config_.contains(key)) config_[key] = torch_name(dtype);
    }
    plan_.documents.push_back({name_ + "/config.json", dump_json(config_, {.indent = 2}) + "\n"});
  }

  const std::string& folder_;
  const std::string& name_;
  OutputPlan& plan_;
  Json config_;
  bool cast_ = false;  // some weight changes its dtype
};

}  // namespace

void plan_copied(const PipelineSource& pipeline,
                 const std::string& component,
                 Dtype dtype,
                 OutputPlan& plan,
                 std::vector<std::shared_ptr<const Checkpoint>>& held) {
  const std::string folder = pipeline.folder_of(component);
  CopiedComponent(folder, component, plan).plan(dtype, held);
}

}  // namespace ditq
