#include "family/detect.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "family/registry.h"

namespace ditq {
namespace {

using Metadata = std::map<std::string, std::string>;

bool has_all(const TensorTable& tensors, const std::vector<std::string>& names) {
  return std::all_of(names.begin(), names.end(),
                     [&](const std::string& name) { return tensors.contains(name); });
}

bool has_any(const TensorTable& tensors, const std::vector<std::string>& names) {
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& name) { return tensors.contains(name); });
}

std::string class_name_of(const Json& config) {
  if (!config.is_object()) return "";
  const auto found = config.find("_class_name");
  return found != config.end() && found->is_string() ? found->get<std::string>() : "";
}

const DialectMark* dialect_of(const FamilySpec& family, const TensorTable& tensors) {
  for (const DialectMark& mark : family.dialects) {
    if (has_all(tensors, mark.tensors)) return &mark;
  }
  return nullptr;
}

void detect_family(const Json& config, const TensorTable& tensors, Detection& out) {
  const std::string class_name = class_name_of(config);
  const FamilySpec* by_class = family_of_class(class_name);
  for (const FamilySpec* family : families()) {
    const DialectMark* mark = dialect_of(*family, tensors);
    if (mark == nullptr || (by_class != nullptr && family != by_class)) continue;
    out.family = family;
    out.mark = mark;
    out.dialect = mark->dialect;
    out.reasons.push_back(fmt::format("family {}, dialect {}: it has '{}'", family->name,
                                      mark->dialect, mark->tensors.front()));
    break;
  }
  if (by_class != nullptr) {
    out.family = by_class;
    out.reasons.push_back(
        fmt::format("family {}: the config's _class_name is {}", by_class->name, class_name));
    if (out.dialect == "unknown") {
      out.reasons.push_back(
          fmt::format("dialect unknown: the tensors fit no naming of {}", by_class->title));
    }
  } else if (out.family == nullptr) {
    out.reasons.push_back(class_name.empty()
                              ? "family unknown: no config and no known tensor names"
                              : fmt::format("family unknown: _class_name {}", class_name));
  }
}

bool config_fits(const Variant& variant, const Json& config) {
  if (!config.is_object()) return !variant.only_by_config;
  return std::all_of(variant.config.begin(), variant.config.end(), [&](const auto& wanted) {
    const auto found = config.find(wanted.first);
    if (found == config.end()) return false;
    if (found->is_boolean()) return found->template get<bool>() == (wanted.second != 0);
    return found->is_number_integer() && found->template get<std::int64_t>() == wanted.second;
  });
}

bool tensors_fit(const Variant& variant, const TensorTable& tensors) {
  if (!variant.shape.empty()) {
    const auto found = tensors.find(variant.tensor);
    if (found == tensors.end() || found->second.shape != variant.shape) return false;
  }
  return has_all(tensors, variant.has) && !has_any(tensors, variant.lacks);
}

void detect_variant(const Json& config, const TensorTable& tensors, Detection& out) {
  if (out.family == nullptr || out.dialect != "diffusers") return;
  out.variant = find_variant(*out.family, config, tensors);
  out.reasons.push_back(out.variant == nullptr
                            ? std::string("variant unknown: no published sizes")
                            : fmt::format("variant {}: sizes{} as published", out.variant->name,
                                          config.is_object() ? " and config" : ""));
}

// What one matrix is stored as, and the shape of its scale.
std::string weight_scheme(const TensorTable& tensors,
                          const std::string& layer,
                          const TensorFacts& weight) {
  const auto scale = tensors.find(layer + ".weight_scale");
  if (weight.dtype == Dtype::f8_e4m3) {
    if (scale == tensors.end()) return "fp8 without scale";
    const std::size_t rank = scale->second.shape.size();
    if (rank == 0) return "fp8-modelopt";
    return scale->second.shape == std::vector<std::int64_t>{1} ? "fp8-sglang" : "fp8-channel-token";
  }
  if (weight.dtype == Dtype::u8 && scale != tensors.end() &&
      scale->second.dtype == Dtype::f8_e4m3) {
    return tensors.contains(layer + ".svdquant_lora_a") ? "nvfp4-svdquant" : "nvfp4";
  }
  return std::string(name(weight.dtype));
}

constexpr std::string_view kWeight = ".weight";

void count_weights(const TensorTable& tensors, Detection& out) {
  for (const auto& [tensor, facts] : tensors) {
    if (!tensor.ends_with(kWeight) || facts.shape.size() != 2) continue;
    const std::string layer = tensor.substr(0, tensor.size() - kWeight.size());
    ++out.weights[weight_scheme(tensors, layer, facts)];
  }
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return text;
}

void detect_scheme(const Json& config, const Metadata& metadata, Detection& out) {
  std::vector<std::string> quantized;
  std::string plain;
  int most = 0;
  std::string counts;
  for (const auto& [scheme, count] : out.weights) {
    counts += fmt::format("{}{} {}", counts.empty() ? "" : ", ", count, scheme);
    const bool is_plain = parse_dtype(scheme).has_value();
    if (!is_plain) quantized.push_back(scheme);
    if (is_plain && count > most) {
      most = count;
      plain = scheme;
    }
  }
  if (quantized.size() == 1) {
    out.scheme = quantized.front();
  } else if (!quantized.empty()) {
    out.scheme = "mixed";
  } else if (!plain.empty()) {
    out.scheme = lower(plain);
  }
  out.reasons.push_back(
      fmt::format("scheme {}: matrices are {}", out.scheme, counts.empty() ? "absent" : counts));
  const bool declared = config.is_object() && config.contains("quantization_config");
  const bool in_metadata =
      metadata.contains("quantization_config") || metadata.contains("_quantization_metadata");
  if (declared || in_metadata) {
    out.reasons.push_back(fmt::format(
        "quantization is declared in {}{}{}", declared ? "the config" : "",
        declared && in_metadata ? " and " : "", in_metadata ? "the shards' metadata" : ""));
  } else if (!quantized.empty()) {
    out.reasons.emplace_back(
        "no quantization_config declares it: loaders may take the weights for plain ones");
  }
}

}  // namespace

const Variant* find_variant(const FamilySpec& family,
                            const Json& config,
                            const TensorTable& tensors) {
  const auto found =
      std::find_if(family.variants.begin(), family.variants.end(), [&](const Variant& variant) {
        return tensors_fit(variant, tensors) && config_fits(variant, config);
      });
  return found == family.variants.end() ? nullptr : &*found;
}

Detection detect(const Json& config, const TensorTable& tensors, const Metadata& metadata) {
  Detection out;
  detect_family(config, tensors, out);
  detect_variant(config, tensors, out);
  count_weights(tensors, out);
  detect_scheme(config, metadata, out);
  return out;
}

}  // namespace ditq
