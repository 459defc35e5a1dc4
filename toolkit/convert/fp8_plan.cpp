#include "convert/fp8_plan.h"

#include <algorithm>
#include <set>
#include <span>
#include <string_view>

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "convert/fp8_checks.h"
#include "convert/ignore_list.h"
#include "convert/name_variants.h"

namespace ditq {
namespace {

bool matches_any(std::span<const Regex> patterns, const std::vector<std::string>& names) {
  return std::any_of(patterns.begin(), patterns.end(), [&names](const Regex& pattern) {
    return std::any_of(names.begin(), names.end(),
                       [&pattern](const std::string& name) { return pattern.search(name); });
  });
}

bool is_weight(const std::string& tensor) {
  return tensor.ends_with(".weight");
}

// What is decided about every selected weight, by its name.
class Planner {
 public:
  Planner(const BuildFp8Request& request, const Fp8Source& source, const Fp8Profile& profile)
      : request_(request), source_(source), profile_(profile), variants_(profile.runtime_names) {}

  Fp8Plan plan() {
    select();
    find_fallbacks();
    extend_ignore_list();
    decide_weights();
    check_fp8_weights(weights_, source_, selected_);
    check_fallbacks(fallback_, source_);
    for (const auto& [name, shard] : source_.checkpoint.shards()) plan_shard(name, shard);
    plan_.statistics.bf16_fallback_weights = fallback_.size();
    plan_.statistics.output_shards = plan_.shards.size();
    return std::move(plan_);
  }

 private:
  bool is_selected(const std::string& name) const {
    if (source_.merged == nullptr) return true;
    const MergedExport& form = *source_.merged->merged_export;
    return name.starts_with(form.prefix) &&
           std::none_of(form.excluded_prefixes.begin(), form.excluded_prefixes.end(),
                        [&name](const std::string& prefix) { return name.starts_with(prefix); });
  }

  void select() {
    for (const auto& [name, tensor] : source_.checkpoint.tensors()) {
      if (!is_selected(name)) continue;
      selected_.emplace(name, tensor);
      if (is_weight(name)) {
        weights_[name] = {
            .tensor = tensor, .variants = variants_.of(name), .amax = source_.amax.find(name)};
      }
    }
    check_selection(selected_, source_);
  }

  void find_fallbacks() {
    bool family_matched = profile_.family_patterns.empty();
    std::vector<bool> user_matched(profile_.user_patterns.size(), false);
    for (auto& [name, weight] : weights_) {
      const bool by_family = matches_any(profile_.family_patterns, weight.variants);
      family_matched = family_matched || by_family;
      weight.fallback = by_family;
      for (std::size_t i = 0; i < profile_.user_patterns.size(); ++i) {
        if (!matches_any({&profile_.user_patterns[i], 1}, weight.variants)) continue;
        user_matched[i] = true;
        weight.fallback = true;
      }
      if (weight.fallback) fallback_.insert(name);
    }
    report_unmatched(family_matched, user_matched);
  }

  void report_unmatched(bool family_matched, const std::vector<bool>& user_matched) const {
    if (!family_matched && request_.model_type != "auto") {
      throw Error(
          ErrorCode::family_mismatch,
          fmt::format(
              "--model-type {} fits nothing in this export: none of its patterns matches a layer",
              request_.model_type),
          {.path = source_.folder,
           .advice = "Use --model-type auto, or none to keep no layer in BF16"});
    }
    if (!family_matched) {
      log_warning(
          fmt::format("no layer matches the {} profile, although the config names its class",
                      profile_.family->title));
    }
    for (std::size_t i = 0; i < user_matched.size(); ++i) {
      if (user_matched[i]) continue;
      log_warning(
          fmt::format("--keep-bf16-pattern '{}' matches no layer", request_.keep_bf16_patterns[i]));
    }
  }

  // The source's entries, every weight without an amax pair, every fallback; under preferred names.
  void extend_ignore_list() {
    std::set<std::string> entries(source_.ignore.begin(), source_.ignore.end());
    for (const auto& [name, weight] : weights_) {
      if (weight.amax == nullptr || weight.fallback) entries.insert(weight.variants.back());
    }
    plan_.ignore.assign(entries.begin(), entries.end());
    const IgnoreList extended(plan_.ignore, source_.config_path);
    const IgnoreList original(source_.ignore, source_.config_path);
    for (auto& [name, weight] : weights_) {
      weight.ignored = extended.matches(weight.variants);
      weight.ignored_by_source = original.matches(weight.variants);
    }
  }

  void decide_weights() {
    const float maxbound = static_cast<float>(request_.maxbound);
    for (auto& [name, weight] : weights_) {
      if (weight.amax == nullptr || weight.ignored) continue;
      weight.quantized = true;
      weight.weight_scale = weight.amax->weight / maxbound;
      weight.input_scale = weight.amax->input / maxbound;
      ++plan_.statistics.quantized_weights;
    }
  }

  void plan_shard(const std::string& name, const SafetensorsFile& shard) {
    PlannedShard planned{.name = name, .tensors = {}, .metadata = shard.metadata};
    std::set<std::string> new_scales;
    bool any_selected = false;
    for (const TensorInfo& tensor : shard.tensors) {
      const auto weight = weights_.find(tensor.name);
      if (weight == weights_.end() || !weight->second.quantized) continue;
      const std::string module = module_of(tensor.name);
      for (const char* suffix : {".weight_scale", ".input_scale"})
        new_scales.insert(module + suffix);
    }
    for (const TensorInfo& tensor : shard.tensors) {
      if (!selected_.contains(tensor.name)) continue;
      any_selected = true;
      // In its own shard the new scale takes the old one's place; a scale stored apart stays as it is, beside it.
      if (!new_scales.contains(tensor.name)) plan_tensor(tensor, planned);
    }
    if (any_selected) plan_.shards.push_back(std::move(planned));
  }

  void plan_tensor(const TensorInfo& tensor, PlannedShard& shard) {
    if (tensor.name.find("_quantizer.") != std::string::npos || is_fallback_scale(tensor.name))
      return;
    const auto found = weights_.find(tensor.name);
    if (found == weights_.end()) return add_copy(tensor, shard);
    const WeightDecision& weight = found->second;
    if (weight.fallback && source_.base) return add_copy(source_.base->at(tensor.name), shard);
    if (weight.ignored) {
      ++plan_.statistics.preserved_ignored_weights;
      return add_copy(tensor, shard);
    }
    if (weight.quantized) return add_quantized(tensor, weight, shard);
    add_copy(tensor, shard);
  }

  bool is_fallback_scale(const std::string& name) const {
    for (const std::string_view suffix : {".weight_scale", ".input_scale"}) {
      if (!name.ends_with(suffix)) continue;
      if (fallback_.contains(name.substr(0, name.size() - suffix.size()) + ".weight")) return true;
    }
    return false;
  }

  void add(PlannedTensor tensor, PlannedShard& shard) {
    plan_.output_bytes += tensor.target.size;
    shard.tensors.push_back(std::move(tensor));
  }

  void add_copy(const TensorInfo& tensor, PlannedShard& shard) {
    add({.target = {tensor.name, tensor.dtype, tensor.shape, tensor.size}, .copy_of = &tensor},
        shard);
  }

  void add_quantized(const TensorInfo& tensor, const WeightDecision& weight, PlannedShard& shard) {
    if (tensor.dtype == Dtype::f8_e4m3) {
      add_copy(tensor, shard);
    } else {
      add({.target = {tensor.name, Dtype::f8_e4m3, tensor.shape, tensor.elements()},
           .quantize = &tensor,
           .scale = weight.weight_scale},
          shard);
    }
    const std::string module = module_of(tensor.name);
    add_scale(module + ".weight_scale", weight.weight_scale, shard);
    add_scale(module + ".input_scale", weight.input_scale, shard);
    plan_.statistics.added_scale_tensors += 2;
  }

  void add_scale(const std::string& name, float value, PlannedShard& shard) {
    add({.target = {name, Dtype::f32, {1}, sizeof(float)}, .is_scale = true, .scale = value},
        shard);
  }

  const BuildFp8Request& request_;
  const Fp8Source& source_;
  const Fp8Profile& profile_;
  NameVariants variants_;
  SelectedTensors selected_;
  WeightDecisions weights_;
  std::set<std::string> fallback_;
  Fp8Plan plan_;
};

}  // namespace

Fp8Plan plan_fp8(const BuildFp8Request& request,
                 const Fp8Source& source,
                 const Fp8Profile& profile) {
  return Planner(request, source, profile).plan();
}

}  // namespace ditq
