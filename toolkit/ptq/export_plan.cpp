#include "ptq/export_plan.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <optional>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "ptq/definition_order.h"
#include "ptq/recipes.h"
#include "quant/cast.h"
#include "quant/fp8.h"
#include "quant/nvfp4.h"

namespace ditq {
namespace {

constexpr std::string_view kQuantizer = "_quantizer.";
constexpr std::string_view kFactorA = ".weight_quantizer._svdquant_lora_a";
constexpr std::string_view kFactorB = ".weight_quantizer._svdquant_lora_b";
constexpr std::string_view kSmoothing = ".input_quantizer._pre_quant_scale";

std::string module_of(const std::string& tensor) {
  return tensor.substr(0, tensor.rfind('.'));
}

/// "a.b" for the member of a module.
std::string join(const std::string& module, std::string_view member) {
  return fmt::format("{}.{}", module, member);
}

bool is_on(const Quantizer* quantizer) {
  return quantizer != nullptr && quantizer->enabled;
}

std::string with_block(std::string pattern, std::size_t block) {
  const std::size_t hash = pattern.find('#');
  return hash == std::string::npos ? pattern : pattern.replace(hash, 1, std::to_string(block));
}

class Planner {
 public:
  explicit Planner(const ExportInputs& inputs)
      : in_(inputs),
        groups_(shared_scale_groups(inputs.network, inputs.quantizers, inputs.source.family)) {
    for (const auto& group : groups_) {
      for (const std::string& member : group) group_of_[member] = &group;
    }
  }

  ComponentPlan plan() {
    check_state();
    sort_layers();
    computed_ = first_dtype();
    for (const std::string& name : in_.network.tensors) plan_stored(name);
    plan_factors();
    plan_attention();
    put_in_order();
    return std::move(plan_);
  }

 private:
  /// Whatever the state holds must belong to the model.
  void check_state() const {
    for (const auto& [name, tensor] : in_.state.tensors()) {
      const std::size_t at = name.find(kQuantizer);
      if (at == std::string::npos) {
        check_stored(name, *tensor);
      } else if (const std::size_t dot = name.rfind('.', at);
                 in_.quantizers.find(name.substr(0, dot),
                                     name.substr(dot + 1, name.rfind('.') - dot - 1)) == nullptr) {
        throw Error(ErrorCode::family_mismatch, "the calibration has a layer that the model lacks",
                    {.path = in_.state.path(),
                     .tensor = name,
                     .found = "no such layer in " + in_.source.folder});
      }
    }
  }

  void check_stored(const std::string& name, const TensorInfo& tensor) const {
    const TensorInfo* base = in_.source.find(name);
    if (base == nullptr) {
      throw Error(ErrorCode::family_mismatch, "the calibration has a tensor that the model lacks",
                  {.path = in_.state.path(), .tensor = name});
    }
    if (base->shape != tensor.shape) {
      throw Error(ErrorCode::wrong_shape, "the calibration is of another model",
                  {.path = in_.state.path(),
                   .tensor = name,
                   .expected = to_string(base->shape),
                   .found = to_string(tensor.shape)});
    }
    if (is_castable(base->dtype) && !is_castable(tensor.dtype)) {
      throw Error(ErrorCode::unsupported, "the checkpoint holds packed weights",
                  {.path = in_.state.path(),
                   .tensor = name,
                   .expected = "BF16, F16 or F32",
                   .found = std::string(ditq::name(tensor.dtype)),
                   .advice = "Save it without --compress"});
    }
  }

  /// Which layers are packed and how.
  void sort_layers() {
    std::optional<QuantizerConfig> config;
    for (const QuantLayer& layer : in_.network.layers) {
      const Quantizer* weight = in_.quantizers.find(layer.name, "weight_quantizer");
      if (weight == nullptr) continue;
      if (!weight->enabled) {
        plan_.unquantized.push_back(layer.name);
      } else if (layer.kind == LayerKind::conv) {
        plan_.unpacked.push_back(layer.name);
      } else {
        check_pair(*weight);
        if (config && *config != weight->config) {
          throw Error(ErrorCode::unsupported, "layers of several formats in one component",
                      {.path = in_.state.path(), .tensor = layer.name});
        }
        config = weight->config;
        plan_.quantized.push_back(layer.name);
        packed_.insert(layer.name);
      }
    }
    if (!config) {
      throw Error(
          ErrorCode::not_quantized, "no linear layer of the component is quantized",
          {.path = in_.source.folder,
           .advice = "The model's filter, or the checkpoint's flags, switch all of them off"});
    }
    plan_.config = *config;
  }

  void check_pair(const Quantizer& weight) const {
    const Quantizer* input = in_.quantizers.find(weight.layer, "input_quantizer");
    if (is_on(input) && input->config == weight.config) return;
    throw Error(ErrorCode::unsupported, "weight and input of a layer must have one format",
                {.path = in_.state.path(), .tensor = weight.layer});
  }

  /// The tensor as it is after calibration: the state's where it has one.
  const TensorInfo& stored(const std::string& name) const {
    const TensorInfo* calibrated = in_.state.find(name);
    return calibrated != nullptr ? *calibrated : in_.source.at(name);
  }

  Dtype loaded(const std::string& name) const {
    return in_.dtype.of(name, in_.source.at(name).dtype);
  }

  /// The dtype of the component's first parameter. Integers are buffers.
  Dtype first_dtype() const {
    for (const std::string& name : in_.network.tensors) {
      if (is_castable(in_.source.at(name).dtype)) return loaded(name);
    }
    return Dtype::f32;
  }

  void plan_stored(const std::string& name) {
    const std::string module = module_of(name);
    const bool is_weight = name.ends_with(".weight");
    if (is_weight && in_.state.find(join(module, kFactorA.substr(1))) != nullptr &&
        in_.state.find(name) == nullptr) {
      throw Error(
          ErrorCode::missing_tensor, "an SVDQuant layer's residual weight is not there",
          {.path = in_.state.path(),
           .tensor = name,
           .advice = "The model's own weight cannot stand in for it: restore from the whole "
                     "checkpoint"});
    }
    if (is_weight && packed_.contains(module)) return plan_packed(module);
    add_cast(name, stored(name), loaded(name));
  }

  void plan_packed(const std::string& module) {
    const std::string name = module + ".weight";
    const TensorInfo& weight = stored(name);
    if (in_.state.is_transposed(weight)) {
      throw Error(ErrorCode::unsupported, "the checkpoint's weight is stored column by column",
                  {.path = in_.state.path(), .tensor = name});
    }
    const WeightPath path{.stored = weight.dtype, .loaded = loaded(name), .computed = computed_};
    if (plan_.config.element == Element::fp8) {
      plan_fp8(module, weight, path);
    } else {
      plan_nvfp4(module, weight, path);
    }
  }

  void plan_channels(const TensorInfo& weight, const std::string& module, const WeightPath& path) {
    const std::int64_t columns = weight.shape[1];
    add_made(module + ".weight", Dtype::f8_e4m3, weight.shape, weight,
             fp8_channel_codes_recipe(path, columns, in_.beyond.clip, in_.arithmetic));
    add_made(module + ".weight_scale", Dtype::f32, {weight.shape[0]}, weight,
             fp8_channel_scales_recipe(path, columns, in_.beyond.clip, in_.arithmetic));
  }

  /// What the clip chooses for one weight; each is read once, however many share its scale.
  float clipped_amax(const TensorInfo& weight, const WeightPath& path) {
    const auto known = clipped_.find(weight.name);
    if (known != clipped_.end()) return known->second;
    const float amax = clipped_weight_amax(in_.beyond.clip, plan_.config.element, weight, path);
    return clipped_.emplace(weight.name, amax).first->second;
  }

  /// The amax that the scale of a weight is made of.
  float chosen_amax(const std::string& module, const TensorInfo& weight, const WeightPath& path) {
    if (in_.beyond.clip.rule == WeightClip::Rule::none) return weight_amax(module);
    const auto group = group_of_.find(module);
    float largest = clipped_amax(weight, path);
    if (group != group_of_.end()) {
      for (const std::string& member : *group->second) {
        largest = std::max(largest, clipped_amax(stored(member + ".weight"), path));
      }
    }
    if (std::isfinite(largest) && largest > 0) return largest;
    throw Error(ErrorCode::bad_scale, "a weight of zeros, NaN or infinity cannot be quantized",
                {.path = in_.source.folder, .tensor = module + ".weight"});
  }

  void plan_fp8(const std::string& module, const TensorInfo& weight, const WeightPath& path) {
    if (in_.beyond.channel_token) return plan_channels(weight, module, path);
    const float scale = fp8_scale(chosen_amax(module, weight, path), in_.arithmetic);
    const float input = in_.state.amax(module + ".input_quantizer._amax");
    const bool clipped = in_.beyond.clip.rule != WeightClip::Rule::none;
    add_made(module + ".weight", Dtype::f8_e4m3, weight.shape, weight,
             clipped ? fp8_clamped_recipe(path, scale) : fp8_recipe(path, scale, in_.arithmetic));
    add_scale(module + ".weight_scale", scale);
    add_scale(module + ".input_scale", fp8_scale(input == 0.0f ? kE4m3Max : input, in_.arithmetic));
  }

  void plan_nvfp4(const std::string& module, const TensorInfo& weight, const WeightPath& path) {
    const std::int64_t block = plan_.config.block;
    if (block <= 0 || block % static_cast<std::int64_t>(kNvfp4Block) != 0) {
      throw Error(ErrorCode::unsupported, "NVFP4 blocks must be multiples of 16",
                  {.path = in_.state.path(), .tensor = module, .found = std::to_string(block)});
    }
    if (weight.shape[1] % block != 0) {
      throw Error(ErrorCode::wrong_shape, "rows of an NVFP4 weight must be whole blocks",
                  {.path = in_.source.folder,
                   .tensor = weight.name,
                   .expected = fmt::format("a multiple of {}", block),
                   .found = to_string(weight.shape)});
    }
    const float scale = nvfp4_global_scale(chosen_amax(module, weight, path), in_.arithmetic);
    const float input = group_amax(module, ".input_quantizer._amax");
    const Shape rows = {weight.shape[0]};
    const auto size = static_cast<std::size_t>(block);
    add_made(module + ".weight", Dtype::u8, {rows[0], weight.shape[1] / 2}, weight,
             nvfp4_codes_recipe(path, scale, size));
    add_made(module + ".weight_scale", Dtype::f8_e4m3, {rows[0], weight.shape[1] / block}, weight,
             nvfp4_scales_recipe(path, scale, size));
    add_scale(module + ".weight_scale_2", scale);
    add_scale(module + ".input_scale",
              nvfp4_global_scale(input == 0.0f ? kE2m1Max : input, in_.arithmetic));
  }

  float weight_amax(const std::string& module) const {
    const float amax = group_amax(module, ".weight_quantizer._amax");
    if (amax > 0) return amax;
    throw Error(ErrorCode::bad_scale, "a weight whose amax is zero cannot be quantized",
                {.path = in_.state.path(),
                 .tensor = module + ".weight",
                 .advice = "Its scale would be zero and its codes NaN"});
  }

  /// The largest of a layer and those that it shares scales with.
  float group_amax(const std::string& module, const char* suffix) const {
    const auto group = group_of_.find(module);
    if (group == group_of_.end()) return in_.state.amax(module + suffix);
    float largest = 0;
    for (const std::string& member : *group->second) {
      largest = std::max(largest, in_.state.amax(member + suffix));
    }
    return largest;
  }

  /// Smoothing and low-rank factors, of layers that stay unquantized too: their weights are residuals as well.
  void plan_factors() {
    for (const auto& [name, tensor] : in_.state.tensors()) {
      if (name.ends_with(kFactorA))
        plan_layer_factors(name.substr(0, name.size() - kFactorA.size()));
    }
  }

  void plan_layer_factors(const std::string& module) {
    const Shape& weight = in_.source.at(module + ".weight").shape;
    const std::int64_t rank = in_.state.rank();
    add_factor(module, kFactorA, "svdquant_lora_a", {rank, weight[1]});
    add_factor(module, kFactorB, "svdquant_lora_b", {weight[0], rank});
    add_factor(module, kSmoothing, "pre_quant_scale", {weight[1]});
  }

  void add_factor(const std::string& module,
                  std::string_view from,
                  std::string_view to,
                  const Shape& shape) {
    const std::string name = module + std::string(from);
    const TensorInfo* tensor = in_.state.find(name);
    if (tensor == nullptr) {
      throw Error(ErrorCode::missing_tensor, "an SVDQuant layer lacks a part",
                  {.path = in_.state.path(), .tensor = name});
    }
    if (tensor->shape != shape || !is_castable(tensor->dtype)) {
      throw Error(
          ErrorCode::wrong_shape, "a part of an SVDQuant layer does not fit its weight",
          {.path = in_.state.path(),
           .tensor = name,
           .expected = to_string(shape),
           .found = fmt::format("{} {}", ditq::name(tensor->dtype), to_string(tensor->shape))});
    }
    add_cast(join(module, to), *tensor, loaded(module + ".weight"));
  }

  /// Amax of attention stay in the file wherever they were measured for this recipe.
  void plan_attention() {
    for (const Quantizer& quantizer : in_.quantizers.all()) {
      if (quantizer.kind != LayerKind::attention) continue;
      const std::string name = quantizer.name + "._amax";
      const TensorInfo* tensor = in_.state.find(name);
      const bool measured = in_.state.recorded() ? tensor != nullptr : quantizer.calibrated;
      if (!measured || quantizer.name.ends_with(".softmax_quantizer")) continue;
      in_.state.amax(name);
      add_copy(name, *tensor);
    }
  }

  void add_copy(const std::string& name, const TensorInfo& tensor) {
    plan_.tensors.push_back(
        {.target = {name, tensor.dtype, tensor.shape, tensor.size}, .copy_of = &tensor});
  }

  void add_cast(const std::string& name, const TensorInfo& tensor, Dtype dtype) {
    if (in_.state.is_transposed(tensor)) {
      return add_made(name, dtype, tensor.shape, tensor,
                      transpose_recipe(tensor.shape, tensor.dtype, dtype));
    }
    if (tensor.dtype == dtype) return add_copy(name, tensor);
    add_made(name, dtype, tensor.shape, tensor, cast_recipe(tensor.dtype, dtype));
  }

  void add_made(const std::string& name,
                Dtype dtype,
                const Shape& shape,
                const TensorInfo& source,
                std::shared_ptr<const TensorRecipe> recipe) {
    plan_.tensors.push_back({.target = {name, dtype, shape, byte_size(dtype, shape).value()},
                             .recipe = std::move(recipe),
                             .ingredient = &source});
  }

  void add_scale(const std::string& name, float scale) {
    plan_.tensors.push_back(
        {.target = {name, Dtype::f32, {}, sizeof(scale)}, .is_scale = true, .scale = scale});
  }

  void put_in_order() {
    std::map<std::string, PlannedTensor> by_name;
    std::vector<std::string> names;
    for (PlannedTensor& tensor : plan_.tensors) {
      names.push_back(tensor.target.name);
      by_name.emplace(names.back(), std::move(tensor));
    }
    const FamilySpec* family = in_.source.family;
    DefinitionOrder(family == nullptr ? std::vector<std::string>{} : family->quant.definition_order)
        .sort(names);
    plan_.tensors.clear();
    for (const std::string& name : names) plan_.tensors.push_back(std::move(by_name.at(name)));
    if (in_.source.merged != nullptr) merge();
  }

  /// Into the file's own names, and the tensors of its other networks beside them.
  void merge() {
    std::set<std::string> written;
    for (PlannedTensor& tensor : plan_.tensors) {
      tensor.target.name = in_.source.stored_name(tensor.target.name);
      written.insert(tensor.target.name);
    }
    for (const auto& [name, tensor] : in_.source.checkpoint->tensors()) {
      if (!written.contains(name)) add_copy(name, *tensor);
    }
  }

  const ExportInputs& in_;
  std::vector<std::vector<std::string>> groups_;
  std::map<std::string, const std::vector<std::string>*> group_of_;
  std::set<std::string> packed_;
  std::map<std::string, float> clipped_;  // chosen amax by weight
  Dtype computed_ = Dtype::f32;
  ComponentPlan plan_;
};

}  // namespace

std::vector<std::vector<std::string>> shared_scale_groups(const QuantNetwork& network,
                                                          const QuantizerSet& quantizers,
                                                          const FamilySpec* family) {
  std::vector<std::vector<std::string>> groups;
  if (family == nullptr) return groups;
  // More blocks than layers there cannot be.
  for (const auto& patterns : family->quant.shared_inputs) {
    const bool repeated = patterns.front().find('#') != std::string::npos;
    for (std::size_t block = 0; block < (repeated ? network.layers.size() : 1); ++block) {
      std::vector<std::string> members;
      std::size_t packed = 0;
      for (const std::string& pattern : patterns) {
        std::string name = with_block(pattern, block);
        const Quantizer* weight = quantizers.find(name, "weight_quantizer");
        if (weight == nullptr) continue;
        packed += weight->enabled && weight->config.element == Element::nvfp4 ? 1 : 0;
        members.push_back(std::move(name));
      }
      if (packed == 0 || members.size() < 2) continue;
      if (packed != members.size()) {
        throw Error(ErrorCode::unsupported,
                    "layers that share an input must have one format: they get common scales",
                    {.tensor = fmt::format("{}", fmt::join(members, ", "))});
      }
      groups.push_back(std::move(members));
    }
  }
  return groups;
}

ComponentPlan plan_component(const ExportInputs& inputs) {
  return Planner(inputs).plan();
}

}  // namespace ditq
