#include "convert/nvfp4_plan.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "convert/nvfp4_checks.h"

namespace ditq {
namespace {

class Planner {
 public:
  Planner(const BuildNvfp4Request& request,
          const Nvfp4Source& source,
          const std::vector<KeepPattern>& patterns)
      : request_(request), source_(source), patterns_(patterns) {}

  Nvfp4Plan plan() {
    modules_ = nvfp4_modules(source_.checkpoint);
    find_fallbacks();
    check_nvfp4_modules(modules_, source_);
    for (const auto& [name, shard] : source_.checkpoint.shards()) plan_shard(name, shard);
    plan_.statistics.output_shards = plan_.shards.size();
    plan_.statistics.swap_weight_nibbles = swap_weight_nibbles();
    make_documents();
    return std::move(plan_);
  }

 private:
  // A matched module becomes a fallback when export and base share one of its tensors.
  void find_fallbacks() {
    std::vector<bool> used(patterns_.size(), false);
    for (auto& [name, module] : modules_) {
      for (std::size_t i = 0; i < patterns_.size(); ++i) {
        if (!patterns_[i].matches(name)) continue;
        used[i] = true;
        module.matched = true;
      }
      if (!module.matched) continue;
      module.fallback = std::any_of(
          module.tensors.begin(), module.tensors.end(),
          [this](const auto& entry) { return source_.base.find(entry.second->name) != nullptr; });
      if (module.fallback) ++plan_.statistics.fallback_modules;
    }
    report_unused(used);
  }

  void report_unused(const std::vector<bool>& used) const {
    bool preset_used = request_.pattern_preset == "none";
    for (std::size_t i = 0; i < used.size(); ++i) {
      if (patterns_[i].from_preset) {
        preset_used = preset_used || used[i];
      } else if (!used[i]) {
        log_warning(fmt::format("--keep-bf16-pattern '{}' matches no module", patterns_[i].text));
      }
    }
    if (preset_used) return;
    throw Error(ErrorCode::family_mismatch,
                fmt::format("--pattern-preset {} fits nothing in this export: none of its patterns "
                            "matches a module",
                            request_.pattern_preset),
                {.path = source_.folder, .advice = "Use --keep-bf16-pattern, or no preset"});
  }

  void plan_shard(const std::string& name, const SafetensorsFile& file) {
    PlannedShard shard{.name = name, .tensors = {}, .metadata = file.metadata};
    for (const TensorInfo& tensor : file.tensors) {
      const TensorInfo* planned = plan_tensor(tensor);
      if (planned == nullptr) {
        ++plan_.statistics.removed_aux_tensors;
        continue;
      }
      if (planned != &tensor) ++plan_.statistics.replaced_tensors;
      plan_.output_bytes += planned->size;
      shard.tensors.push_back(
          {.target = {planned->name, planned->dtype, planned->shape, planned->size},
           .copy_of = planned});
    }
    plan_.shards.push_back(std::move(shard));
  }

  // What stands in the output under the tensor's name; nullptr: nothing.
  const TensorInfo* plan_tensor(const TensorInfo& tensor) const {
    if (tensor.name.find("_quantizer.") != std::string::npos) return nullptr;
    if (!modules_.at(nvfp4_module_of(tensor.name)).fallback) return &tensor;
    return source_.base.find(tensor.name);
  }

  bool swap_weight_nibbles() const {
    if (request_.swap_weight_nibbles) return *request_.swap_weight_nibbles;
    if (request_.pattern_preset != "none") return false;
    log_warning(
        "swap_weight_nibbles true is written, SGLang's default up to 0.5.12, although ModelOpt's "
        "own order is low nibble first: loaders that obey it garble every weight; "
        "--no-swap-weight-nibbles writes false, the later default");
    return true;
  }

  void make_documents() {
    Json quantization = source_.config.quantization;
    std::vector<std::string> ignore = source_.config.ignore;
    for (const KeepPattern& pattern : patterns_) {
      const bool known = std::find(ignore.begin(), ignore.end(), pattern.text) != ignore.end();
      if (!known) ignore.push_back(pattern.text);
    }
    warn_of_unignored(modules_, ignore);
    quantization["ignore"] = ignore;
    if (!quantization.contains("quant_type")) quantization["quant_type"] = "NVFP4";
    quantization["swap_weight_nibbles"] = plan_.statistics.swap_weight_nibbles;
    Json config = source_.config.config;
    config["quantization_config"] = quantization;
    plan_.config = dump_json(config, {.indent = 2, .sort_keys = true}) + "\n";
    const std::string text = dump_json(quantization, {.sort_keys = true});
    for (PlannedShard& shard : plan_.shards) {
      shard.metadata.emplace("format", "pt");
      shard.metadata["quantization_config"] = text;
      shard.metadata["_quantization_metadata"] = text;
    }
    make_index();
  }

  void make_index() {
    const Checkpoint& checkpoint = source_.checkpoint;
    const std::string first = std::filesystem::path(checkpoint.first_shard()).stem().string();
    plan_.index_name = checkpoint.index_name().value_or(first + ".safetensors.index.json");
    Json weight_map = Json::object();
    for (const PlannedShard& shard : plan_.shards) {
      for (const PlannedTensor& tensor : shard.tensors) {
        weight_map[tensor.target.name] = shard.name;
      }
    }
    const Json index = {{"metadata", {{"total_size", plan_.output_bytes}}},
                        {"weight_map", std::move(weight_map)}};
    plan_.index = dump_json(index, {.indent = 2, .sort_keys = true}) + "\n";
  }

  const BuildNvfp4Request& request_;
  const Nvfp4Source& source_;
  const std::vector<KeepPattern>& patterns_;
  Nvfp4Modules modules_;
  Nvfp4Plan plan_;
};

}  // namespace

Nvfp4Plan plan_nvfp4(const BuildNvfp4Request& request,
                     const Nvfp4Source& source,
                     const std::vector<KeepPattern>& patterns) {
  return Planner(request, source, patterns).plan();
}

}  // namespace ditq
