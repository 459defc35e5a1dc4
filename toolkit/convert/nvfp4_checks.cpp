#include "convert/nvfp4_checks.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "quant/config.h"
#include "quant/nvfp4.h"

namespace ditq {
namespace {

// Longer ones first where one ends in another.
constexpr std::string_view kSuffixes[] = {".weight_scale_2", ".weight_scale", ".input_scale",
                                          ".weight", ".bias"};
constexpr const char* kScaleSuffixes[] = {".weight_scale", ".weight_scale_2", ".input_scale"};
// What SmoothQuant and SVDQuant add to a layer; its weight means nothing without them.
constexpr std::string_view kSmoothingSuffixes[] = {".pre_quant_scale", ".svdquant_lora_a",
                                                   ".svdquant_lora_b"};

std::string_view suffix_of(const std::string& tensor) {
  const auto* const found =
      std::find_if(std::begin(kSuffixes), std::end(kSuffixes),
                   [&tensor](std::string_view suffix) { return tensor.ends_with(suffix); });
  return found == std::end(kSuffixes) ? std::string_view() : *found;
}

// The first few names, and how many there are besides.
std::string some_of(const std::vector<std::string>& names) {
  constexpr std::size_t kListed = 4;
  const std::size_t listed = std::min(kListed, names.size());
  return fmt::format(
      "{}{}", fmt::join(std::span(names).first(listed), ", "),
      listed == names.size() ? "" : fmt::format(" and {} more", names.size() - listed));
}

bool is_plain_float(Dtype dtype) {
  return dtype == Dtype::bf16 || dtype == Dtype::f16 || dtype == Dtype::f32;
}

void require_dtype(const TensorInfo& tensor, Dtype dtype, const char* what) {
  if (tensor.dtype == dtype) return;
  throw Error(ErrorCode::wrong_dtype, fmt::format("{} of another type", what),
              {.path = tensor.file->path(),
               .tensor = tensor.name,
               .expected = std::string(name(dtype)),
               .found = std::string(name(tensor.dtype))});
}

void check_not_smoothed(const TensorInfo& tensor) {
  for (const std::string_view suffix : kSmoothingSuffixes) {
    if (!tensor.name.ends_with(suffix)) continue;
    throw Error(ErrorCode::unsupported,
                "an SVDQuant or smoothed export cannot be mixed with BF16 layers",
                {.path = tensor.file->path(),
                 .tensor = tensor.name,
                 .expected = "an export made with --quant-algo max",
                 .advice = "Use the export as it is, or export again with --quant-algo max"});
  }
}

// One float32, finite and above zero.
void check_global_scale(const TensorInfo& tensor, const std::string& module) {
  require_dtype(tensor, Dtype::f32, "a scale");
  if (tensor.elements() != 1) {
    throw Error(ErrorCode::wrong_shape, "a scale of another shape",
                {.path = tensor.file->path(),
                 .tensor = tensor.name,
                 .expected = "one element",
                 .found = to_string(tensor.shape)});
  }
  float value = 0.0f;
  tensor.file->read(tensor.offset, std::as_writable_bytes(std::span(&value, 1)));
  if (std::isfinite(value) && value > 0.0f) return;
  throw Error(ErrorCode::bad_scale, "a scale that cannot be: the layer would be silent or NaN",
              {.path = tensor.file->path(),
               .tensor = tensor.name,
               .expected = "a finite number above zero",
               .found = fmt::format("{}", value),
               .advice = fmt::format("Calibrate again, or keep the layer: --keep-bf16-pattern '{}'",
                                     module)});
}

// [N, K/16] for packed bytes [N, K/2], and numbers without sign.
void check_block_scales(const TensorInfo& scales, const TensorInfo& weight) {
  require_dtype(scales, Dtype::f8_e4m3, "block scales");
  const Shape expected = {weight.shape[0],
                          weight.shape[1] / static_cast<std::int64_t>(kNvfp4Block / 2)};
  if (scales.shape != expected) {
    throw Error(ErrorCode::wrong_shape, "block scales do not fit their weight",
                {.path = scales.file->path(),
                 .tensor = scales.name,
                 .expected = fmt::format("{} for packed bytes {}, one for 16 elements",
                                         to_string(expected), to_string(weight.shape)),
                 .found = to_string(scales.shape),
                 .advice = "Export again, without padding and without the swizzled layout"});
  }
  std::vector<std::uint8_t> codes(scales.size);
  scales.file->read(scales.offset, std::as_writable_bytes(std::span(codes)));
  const auto bad =
      std::find_if(codes.begin(), codes.end(), [](std::uint8_t code) { return code >= 0x7f; });
  if (bad == codes.end()) return;
  throw Error(ErrorCode::bad_scale, "a block scale is negative or no number",
              {.path = scales.file->path(),
               .tensor = scales.name,
               .expected = "E4M3 codes 0x00 to 0x7e",
               .found = fmt::format("{:#04x} at element {}", *bad, bad - codes.begin()),
               .advice = "Export again; an all-zero weight gives such scales and has to stay in "
                         "BF16"});
}

// A module that stays as it is. Returns whether it lacks the input scale, which loaders can do
// without.
bool check_kept(const std::string& module, const Nvfp4Module& tensors) {
  const TensorInfo* weight = tensors.find(".weight");
  for (const char* suffix : kScaleSuffixes) {
    const TensorInfo* scale = tensors.find(suffix);
    if (scale == nullptr) continue;
    if (weight == nullptr) {
      throw Error(ErrorCode::scale_without_weight,
                  "the export has a scale whose weight is not there",
                  {.path = scale->file->path(),
                   .tensor = scale->name,
                   .expected = module + ".weight",
                   .advice = "Export again"});
    }
    require_dtype(*weight, Dtype::u8, "a weight with scales is");
  }
  if (!tensors.is_quantized()) return false;
  for (const char* suffix : {".weight_scale", ".weight_scale_2"}) {
    if (tensors.find(suffix) != nullptr) continue;
    throw Error(ErrorCode::weight_without_scale, "an NVFP4 weight lacks a scale",
                {.path = weight->file->path(),
                 .tensor = weight->name,
                 .expected = module + suffix,
                 .advice = fmt::format("Export again, or keep the layer: --keep-bf16-pattern '{}'",
                                       module)});
  }
  if (weight->shape.size() != 2 || weight->shape[1] % (kNvfp4Block / 2) != 0) {
    throw Error(ErrorCode::wrong_shape, "a packed weight is no matrix of whole blocks",
                {.path = weight->file->path(),
                 .tensor = weight->name,
                 .expected = "[rows, bytes], a row a multiple of 8 bytes: 16 elements",
                 .found = to_string(weight->shape)});
  }
  check_block_scales(*tensors.find(".weight_scale"), *weight);
  check_global_scale(*tensors.find(".weight_scale_2"), module);
  const TensorInfo* input_scale = tensors.find(".input_scale");
  if (input_scale != nullptr) check_global_scale(*input_scale, module);
  return input_scale == nullptr;
}

// A tensor of the base, and the export's one that it replaces.
void check_replacement(const TensorInfo& base, const TensorInfo& replaced, bool was_packed) {
  Shape expected = replaced.shape;
  if (was_packed && !expected.empty()) expected.back() *= 2;
  if (base.shape != expected) {
    throw Error(ErrorCode::wrong_shape, "base and export disagree about a layer that stays in BF16",
                {.path = base.file->path(),
                 .tensor = base.name,
                 .expected = to_string(expected) + " as in the export",
                 .found = to_string(base.shape),
                 .advice = "Is --base-transformer-dir this export's original?"});
  }
  if (is_plain_float(base.dtype)) return;
  throw Error(ErrorCode::wrong_dtype, "the base is quantized itself",
              {.path = base.file->path(),
               .tensor = base.name,
               .expected = "BF16, F16 or F32",
               .found = std::string(name(base.dtype)),
               .advice = "Pass the original transformer as --base-transformer-dir"});
}

// Everything of a fallback module but its scales comes from the base; what the base lacks would be
// lost.
void check_replaced(const Nvfp4Module& module,
                    const Checkpoint& base,
                    std::vector<std::string>& missing) {
  for (const auto& [suffix, tensor] : module.tensors) {
    const bool is_scale = std::find(std::begin(kScaleSuffixes), std::end(kScaleSuffixes), suffix) !=
                          std::end(kScaleSuffixes);
    const TensorInfo* replacement = base.find(tensor->name);
    if (replacement != nullptr) {
      check_replacement(*replacement, *tensor, suffix == ".weight" && module.is_quantized());
    } else if (!is_scale) {
      missing.push_back(tensor->name);
    }
  }
}

}  // namespace

const TensorInfo* Nvfp4Module::find(const std::string& suffix) const {
  const auto found = tensors.find(suffix);
  return found == tensors.end() ? nullptr : found->second;
}

bool Nvfp4Module::is_quantized() const {
  const TensorInfo* weight = find(".weight");
  return weight != nullptr && weight->dtype == Dtype::u8;
}

std::string nvfp4_module_of(const std::string& tensor) {
  return tensor.substr(0, tensor.size() - suffix_of(tensor).size());
}

Nvfp4Modules nvfp4_modules(const Checkpoint& checkpoint) {
  Nvfp4Modules modules;
  for (const auto& [tensor, info] : checkpoint.tensors()) {
    if (tensor.find("_quantizer.") != std::string::npos) continue;
    modules[nvfp4_module_of(tensor)].tensors[std::string(suffix_of(tensor))] = info;
  }
  return modules;
}

void check_nvfp4_modules(const Nvfp4Modules& modules, const Nvfp4Source& source) {
  std::vector<std::string> missing, without_input_scale;
  bool any_quantized = false;
  for (const auto& [name, module] : modules) {
    check_interrupt();
    for (const auto& [suffix, tensor] : module.tensors) check_not_smoothed(*tensor);
    any_quantized = any_quantized || module.is_quantized();
    if (module.fallback) {
      check_replaced(module, source.base, missing);
    } else if (module.matched && module.is_quantized()) {
      missing.push_back(name + ".weight");
    } else if (check_kept(name, module)) {
      without_input_scale.push_back(name);
    }
  }
  if (!any_quantized) {
    throw Error(ErrorCode::not_quantized, "the export has no NVFP4 weight",
                {.path = source.folder, .expected = "weights of dtype U8 with block scales"});
  }
  if (!missing.empty()) {
    throw Error(ErrorCode::missing_tensor,
                fmt::format("the base lacks {} tensors of layers that stay in BF16: {}",
                            missing.size(), some_of(missing)),
                {.path = source.base.path(),
                 .advice = "Is --base-transformer-dir this export's original?"});
  }
  if (!without_input_scale.empty()) {
    log_warning(fmt::format(
        "{} NVFP4 layers have no input_scale: {}; their activations cannot be quantized",
        without_input_scale.size(), some_of(without_input_scale)));
  }
}

void warn_of_unignored(const Nvfp4Modules& modules, const std::vector<std::string>& ignore) {
  QuantConfig config;
  config.ignore = ignore;
  std::vector<std::string> unignored;
  for (const auto& [name, module] : modules) {
    if (module.fallback && module.is_quantized() && !config.ignores(name))
      unignored.push_back(name);
  }
  if (unignored.empty()) return;
  log_warning(
      fmt::format("{} layers become BF16, but loaders, for which only * is special in the ignore "
                  "list, will take "
                  "them for NVFP4: {}; write their patterns with * alone",
                  unignored.size(), some_of(unignored)));
}

}  // namespace ditq
