#include "inspect_layers.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_map>

#include <fmt/format.h>

#include "base/float.h"
#include "base/module_name.h"
#include "convert/name_variants.h"
#include "family/check_tensors.h"
#include "family/dialect.h"

namespace ditq {
namespace {

/// The value of a stored tensor of one element, where it is a float.
std::optional<double> scalar(const TensorInfo* tensor) {
  if (tensor == nullptr || tensor->elements() != 1) return std::nullopt;
  std::array<std::byte, 8> bytes{};
  if (tensor->size > bytes.size()) return std::nullopt;
  tensor->file->read(tensor->offset, std::span(bytes).first(tensor->size));
  const auto bits16 = [&] {
    std::uint16_t bits = 0;
    std::memcpy(&bits, bytes.data(), sizeof(bits));
    return bits;
  };
  switch (tensor->dtype) {
    case Dtype::f32: {
      float value = 0;
      std::memcpy(&value, bytes.data(), sizeof(value));
      return value;
    }
    case Dtype::bf16:
      return bf16_to_float(bits16());
    case Dtype::f16:
      return f16_to_float(bits16());
    default:
      return std::nullopt;
  }
}

/// Finds the rule that keeps a module out of quantization.
class Rules {
 public:
  Rules(const Detection& detection, const QuantConfig& quant)
      : family_(detection.family),
        dialect_(detection.mark),
        variants_(family_ == nullptr ? std::vector<NameRule>() : family_->runtime_names) {
    if (family_ != nullptr) {
      const auto& patterns = family_->fp8_fallback_documented.empty()
                                 ? family_->fp8_fallback
                                 : family_->fp8_fallback_documented;
      for (const std::string& pattern : patterns) fallback_.emplace_back(pattern);
    }
    for (const std::string& entry : quant.ignore) {
      if (entry.find('*') == std::string::npos)
        literals_.insert({entry, entry});
      else
        wildcards_.push_back({.ignore = {entry}});
    }
  }

  /// One phrase; empty when no rule is known.
  std::string reason(const std::string& module) const {
    std::vector<std::string> names;
    for (const std::string& part : dialect_.modules(module)) {
      for (std::string& name : variants_.of(part + ".weight")) names.push_back(std::move(name));
    }
    for (const std::string& name : names) {
      for (const QuantConfig& wildcard : wildcards_) {
        if (wildcard.ignores(name)) return "ignored by '" + wildcard.ignore.front() + "'";
      }
    }
    for (const std::string& name : names) {
      for (const Regex& pattern : fallback_) {
        if (pattern.search(name)) return "BF16 fallback of " + family_->title;
      }
    }
    const auto listed = [&](const std::string& name) { return literals_.contains(name); };
    if (std::any_of(names.begin(), names.end(), listed)) return "ignored by name";
    return {};
  }

  /// The modules of the diffusers dialect that a stored one is, where names differ.
  std::vector<std::string> diffusers(const std::string& module) const {
    std::vector<std::string> names = dialect_.modules(module);
    return names == std::vector<std::string>{module} ? std::vector<std::string>() : names;
  }

  /// What the runtime does with a quantized layer, where that is not what it says.
  std::string runtime_note(const std::string& module) const {
    if (family_ == nullptr) return {};
    const std::optional<LayerUse> use = layer_use(*family_, module);
    if (use == LayerUse::dequantize) return "SGLang dequantizes it at load; ditq runs it quantized";
    if (use == LayerUse::keep)
      return "quantized, though the runtime keeps this layer in full precision";
    return {};
  }

 private:
  const FamilySpec* family_;
  DialectNames dialect_;
  NameVariants variants_;
  std::vector<Regex> fallback_;
  std::unordered_map<std::string, std::string> literals_;
  std::vector<QuantConfig> wildcards_;
};

std::string kind_of_weight(const Shape& shape) {
  if (shape.size() < 2) return "no matrix: norm or vector";
  return "no matrix: convolution";
}

/// Everything about one layer, looked up by names.
class LayerReader {
 public:
  LayerReader(const Checkpoint& checkpoint, const Detection& detection, const QuantConfig& quant)
      : checkpoint_(checkpoint),
        rules_(detection, quant),
        any_quantized_(
            std::any_of(detection.weights.begin(), detection.weights.end(), [](const auto& entry) {
              return !parse_dtype(entry.first).has_value();
            })) {}

  LayerReport read(const TensorInfo& weight, const std::string& module) const {
    LayerReport layer{
        .name = module, .stored = std::string(name(weight.dtype)), .shape = weight.shape};
    const TensorInfo* scale = find(module, "weight_scale");
    const TensorInfo* scale2 = find(module, "weight_scale_2");
    if (weight.dtype == Dtype::f8_e4m3)
      read_fp8(layer, scale);
    else if (weight.dtype == Dtype::u8 && scale2 != nullptr)
      read_nvfp4(layer, scale2);
    else
      read_plain(layer, scale);
    layer.diffusers = rules_.diffusers(module);
    if (layer.diffusers.size() > 1) {
      layer.note += fmt::format("{}fused: {} layers of diffusers", layer.note.empty() ? "" : "; ",
                                layer.diffusers.size());
    }
    return layer;
  }

 private:
  const TensorInfo* find(const std::string& module, const char* suffix) const {
    return checkpoint_.find(module + "." + suffix);
  }

  void read_fp8(LayerReport& layer, const TensorInfo* scale) const {
    layer.quantized = true;
    layer.weight_scale = scalar(scale);
    const TensorInfo* input = find(layer.name, "input_scale");
    layer.input_scale = scalar(input);
    layer.note = rules_.runtime_note(layer.name);
    const bool by_row = scale != nullptr && layer.shape.size() == 2 &&
                        scale->elements() == static_cast<std::uint64_t>(layer.shape[0]);
    if (scale == nullptr)
      layer.note = "has no weight_scale: cannot be decoded";
    else if (by_row && input == nullptr && layer.shape[0] > 1)
      layer.note = "a scale for each channel; activations are scaled token by token";
    else if (!layer.weight_scale)
      layer.note = fmt::format("scale of shape {}", to_string(scale->shape));
    else if (input == nullptr)
      layer.note = "no input_scale: activations are scaled at run time";
  }

  void read_nvfp4(LayerReport& layer, const TensorInfo* scale2) const {
    layer.quantized = true;
    layer.stored = "NVFP4";
    layer.weight_scale = scalar(scale2);
    layer.input_scale = scalar(find(layer.name, "input_scale"));
    layer.note =
        find(layer.name, "svdquant_lora_a") != nullptr ? "with SVDQuant's low-rank part" : "";
  }

  void read_plain(LayerReport& layer, const TensorInfo* scale) const {
    if (scale != nullptr)
      layer.note = "has a scale, though the weight is not quantized";
    else if (!any_quantized_)
      return;
    else if (layer.shape.size() != 2)
      layer.note = kind_of_weight(layer.shape);
    else
      layer.note = rules_.reason(layer.name);
    if (layer.note.empty()) layer.note = "no rule: it has no scales";
  }

  const Checkpoint& checkpoint_;
  Rules rules_;
  bool any_quantized_;
};

}  // namespace

std::vector<LayerReport> inspect_layers(const Checkpoint& checkpoint,
                                        const Detection& detection,
                                        const QuantConfig& quant) {
  constexpr std::string_view kWeight = ".weight";
  const LayerReader reader(checkpoint, detection, quant);
  std::vector<LayerReport> layers;
  for (const auto& [name, tensor] : checkpoint.tensors()) {
    if (!name.ends_with(kWeight)) continue;
    layers.push_back(reader.read(*tensor, name.substr(0, name.size() - kWeight.size())));
  }
  std::sort(layers.begin(), layers.end(), [](const LayerReport& a, const LayerReport& b) {
    return natural_less(a.name, b.name);
  });
  return layers;
}

}  // namespace ditq
