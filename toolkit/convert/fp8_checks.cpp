#include "convert/fp8_checks.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/log.h"
#include "convert/name_variants.h"

namespace ditq {
namespace {

constexpr std::string_view kScaleSuffixes[] = {".weight_scale", ".input_scale"};
// What SmoothQuant and SVDQuant add to a layer; its weight means nothing without them.
constexpr std::string_view kSmoothingSuffixes[] = {".pre_quant_scale", ".svdquant_lora_a",
                                                   ".svdquant_lora_b"};

// Names of one finding: the first few, and how many there are.
class Names {
 public:
  void add(std::string name) {
    constexpr std::size_t kListed = 4;
    if (count_++ < kListed) listed_.push_back(std::move(name));
  }
  bool empty() const { return count_ == 0; }
  std::size_t count() const { return count_; }
  const std::string& first() const { return listed_.front(); }
  std::string text() const {
    const std::size_t more = count_ - listed_.size();
    return fmt::format("{}{}", fmt::join(listed_, ", "),
                       more == 0 ? "" : fmt::format(" and {} more", more));
  }

 private:
  std::vector<std::string> listed_;
  std::size_t count_ = 0;
};

bool is_usable_scale(float scale) {
  return std::isfinite(scale) && scale > 0.0f;
}

bool is_plain_float(Dtype dtype) {
  return dtype == Dtype::bf16 || dtype == Dtype::f16 || dtype == Dtype::f32;
}

// A stored scale: F32 with one element. Errors: wrong_dtype, wrong_shape.
float read_scale(const TensorInfo& tensor) {
  if (tensor.dtype != Dtype::f32) {
    throw Error(ErrorCode::wrong_dtype, "a scale of another type",
                {.path = tensor.file->path(),
                 .tensor = tensor.name,
                 .expected = "F32",
                 .found = std::string(name(tensor.dtype))});
  }
  if (tensor.elements() != 1) {
    throw Error(ErrorCode::wrong_shape, "a scale of another shape",
                {.path = tensor.file->path(),
                 .tensor = tensor.name,
                 .expected = "one element",
                 .found = to_string(tensor.shape)});
  }
  float value = 0.0f;
  tensor.file->read(tensor.offset, std::as_writable_bytes(std::span(&value, 1)));
  return value;
}

// The export's own scale of a weight stored as FP8, checked; nothing where it has none.
std::optional<float> stored_scale(const std::string& module,
                                  const char* suffix,
                                  const SelectedTensors& selected) {
  const auto found = selected.find(module + suffix);
  if (found == selected.end()) return std::nullopt;
  const float value = read_scale(*found->second);
  if (is_usable_scale(value)) return value;
  throw Error(ErrorCode::bad_scale,
              "the export has a scale that cannot be: the codes that belong to it mean nothing",
              {.path = found->second->file->path(),
               .tensor = found->first,
               .expected = "a finite number above zero",
               .found = fmt::format("{}", value)});
}

// Findings over all weights, so that a thousand layers give one message each.
struct Findings {
  Names without_amax;        // FP8 codes that keep the export's scale, ignored
  Names plain_without_amax;  // matrices in full precision that no ignore list names
  Names scale_missing;       // the export lacks the scale, the amax gives it
  Names scale_differs;
  float worst_ratio = 1.0f;
  Names codes_without_scale;  // fallback weights that keep FP8 codes and lose their scale

  void report() const {
    if (!without_amax.empty()) {
      log_warning(fmt::format(
          "{} FP8 weights have no amax pair in the checkpoint: {}; they keep the export's bytes "
          "and "
          "scales, and the ignore list names them, so that loaders turn them back to BF16",
          without_amax.count(), without_amax.text()));
    }
    if (!plain_without_amax.empty()) {
      log_warning(fmt::format("{} layers have no amax pair and stay in full precision: {}",
                              plain_without_amax.count(), plain_without_amax.text()));
    }
    if (!scale_missing.empty()) {
      log_warning(fmt::format("the export lacks {} weight scales: {}; they are computed from amax",
                              scale_missing.count(), scale_missing.text()));
    }
    if (!scale_differs.empty()) {
      log_warning(fmt::format(
          "{} weights are stored with another scale than amax gives (up to {:.4g} times): {}; "
          "their "
          "bytes are kept and decoded with the new one. Is this checkpoint the export's, and "
          "--maxbound the one that it was made with?",
          scale_differs.count(), worst_ratio, scale_differs.text()));
    }
    if (!codes_without_scale.empty()) {
      log_warning(fmt::format(
          "{} layers that should be BF16 keep FP8 codes and lose their scales: {}; pass "
          "--base-transformer-dir to get their BF16 weights",
          codes_without_scale.count(), codes_without_scale.text()));
    }
  }
};

void check_stored_scales(const std::string& tensor,
                         const WeightDecision& weight,
                         const SelectedTensors& selected,
                         Findings& findings) {
  const std::string module = module_of(tensor);
  const auto scale = stored_scale(module, ".weight_scale", selected);
  stored_scale(module, ".input_scale", selected);
  if (weight.quantized && !scale) findings.scale_missing.add(tensor);
  if (weight.quantized && scale) {
    // A GPU export's scales differ in the last bits; more than a thousandth is another scale.
    const float ratio = std::max(*scale / weight.weight_scale, weight.weight_scale / *scale);
    if (ratio > 1.001f) findings.scale_differs.add(tensor);
    findings.worst_ratio = std::max(findings.worst_ratio, ratio);
  }
  if (weight.quantized) return;
  if (!scale) {
    throw Error(
        ErrorCode::weight_without_scale,
        "an FP8 weight has neither a scale in the export nor an amax pair in the checkpoint",
        {.path = weight.tensor->file->path(),
         .tensor = tensor,
         .expected = module + ".weight_scale"});
  }
  if (weight.amax == nullptr) findings.without_amax.add(tensor);
}

void check_new_scales(const WeightDecisions& weights, const AmaxTable& amax) {
  Names bad;
  std::string values;
  for (const auto& [tensor, weight] : weights) {
    if (!weight.quantized) continue;
    if (is_usable_scale(weight.weight_scale) && is_usable_scale(weight.input_scale)) continue;
    if (bad.empty())
      values =
          fmt::format("weight amax {}, input amax {}", weight.amax->weight, weight.amax->input);
    bad.add(tensor);
  }
  if (bad.empty()) return;
  throw Error(ErrorCode::bad_scale,
              fmt::format("{} of the layers to quantize have an amax that gives no scale: {}",
                          bad.count(), bad.text()),
              {.path = amax.path,
               .tensor = bad.first(),
               .expected = "finite numbers above zero",
               .found = values,
               .advice = "Calibrate again, or keep these layers with --keep-bf16-pattern"});
}

void check_not_smoothed(const TensorInfo& tensor) {
  const bool smoothed =
      std::any_of(std::begin(kSmoothingSuffixes), std::end(kSmoothingSuffixes),
                  [&](std::string_view suffix) { return tensor.name.ends_with(suffix); });
  if (!smoothed) return;
  throw Error(ErrorCode::unsupported,
              "the export is smoothed or factored, which FP8 loaders do not undo",
              {.path = tensor.file->path(),
               .tensor = tensor.name,
               .expected = "an export made with --quant-algo max",
               .advice = "Export again with --quant-algo max"});
}

void check_scale_has_weight(const TensorInfo& tensor, const SelectedTensors& selected) {
  for (const std::string_view suffix : kScaleSuffixes) {
    if (!tensor.name.ends_with(suffix)) continue;
    const std::string weight =
        tensor.name.substr(0, tensor.name.size() - suffix.size()) + ".weight";
    if (selected.contains(weight)) continue;
    throw Error(ErrorCode::scale_without_weight, "the export has a scale whose weight is not there",
                {.path = tensor.file->path(),
                 .tensor = tensor.name,
                 .expected = weight,
                 .advice = "Export again"});
  }
}

}  // namespace

void check_selection(const SelectedTensors& selected, const Fp8Source& source) {
  if (selected.empty()) {
    throw Error(ErrorCode::missing_tensor, "the export has no tensor of the transformer",
                {.path = source.folder});
  }
  std::size_t stray = 0;
  for (const auto& [tensor, info] : selected) {
    if (tensor.find("_quantizer.") != std::string::npos) {
      ++stray;
      continue;
    }
    check_not_smoothed(*info);
    check_scale_has_weight(*info, selected);
  }
  const bool any_amax = std::any_of(selected.begin(), selected.end(), [&source](const auto& entry) {
    return !source.amax.key_of(entry.first).empty();
  });
  if (!any_amax) {
    throw Error(
        ErrorCode::not_quantized,
        "the checkpoint has no amax pair for any layer of the export, so nothing would be FP8",
        {.path = source.amax.path,
         .expected = "<layer>.weight_quantizer._amax and <layer>.input_quantizer._amax",
         .found = fmt::format("{} pairs, {} single values", source.amax.layers.size(),
                              source.amax.half.size()),
         .advice = "Pass the torch checkpoint that was saved with this export"});
  }
  if (stray > 0)
    log_warning(fmt::format("the export holds {} quantizer tensors; they are left out", stray));
}

void check_fp8_weights(const WeightDecisions& weights,
                       const Fp8Source& source,
                       const SelectedTensors& selected) {
  check_new_scales(weights, source.amax);
  Findings findings;
  std::set<std::string> used;
  for (const auto& [tensor, weight] : weights) {
    used.insert(source.amax.key_of(tensor));
    const Dtype dtype = weight.tensor->dtype;
    if (weight.fallback) {
      if (dtype == Dtype::f8_e4m3 && !source.base) findings.codes_without_scale.add(tensor);
    } else if (dtype == Dtype::f8_e4m3) {
      check_stored_scales(tensor, weight, selected, findings);
    } else if (weight.quantized && !is_plain_float(dtype)) {
      throw Error(ErrorCode::wrong_dtype, "a weight that cannot be quantized",
                  {.path = weight.tensor->file->path(),
                   .tensor = tensor,
                   .expected = "F8_E4M3, BF16, F16 or F32",
                   .found = std::string(name(dtype))});
    } else if (weight.amax == nullptr && !weight.ignored_by_source &&
               weight.tensor->shape.size() == 2) {
      findings.plain_without_amax.add(tensor);
    }
  }
  findings.report();
  Names unused;
  for (const auto& [layer, amax] : source.amax.layers) {
    if (!used.contains(layer) && source.checkpoint.find(layer) == nullptr) unused.add(layer);
  }
  if (!unused.empty()) {
    log_warning(fmt::format("the checkpoint has {} amax pairs for layers that the export lacks: {}",
                            unused.count(), unused.text()));
  }
}

void check_fallbacks(const std::set<std::string>& fallback, const Fp8Source& source) {
  if (!source.base) return;
  Names missing;
  for (const std::string& tensor : fallback) {
    if (source.base->find(tensor) == nullptr) missing.add(tensor);
  }
  if (!missing.empty()) {
    throw Error(ErrorCode::missing_tensor,
                fmt::format("the base lacks {} weights that stay in BF16: {}", missing.count(),
                            missing.text()),
                {.path = source.base->path(),
                 .advice = "Is --base-transformer-dir this export's original?"});
  }
  for (const std::string& tensor : fallback) {
    const TensorInfo& base = source.base->at(tensor);
    const Shape& shape = source.checkpoint.at(tensor).shape;
    if (base.shape != shape) {
      throw Error(ErrorCode::wrong_shape,
                  "base and export disagree about a weight that stays in BF16",
                  {.path = base.file->path(),
                   .tensor = tensor,
                   .expected = to_string(shape) + " as in the export",
                   .found = to_string(base.shape),
                   .advice = "Is --base-transformer-dir this export's original?"});
    }
    if (!is_plain_float(base.dtype)) {
      throw Error(ErrorCode::wrong_dtype, "the base is quantized itself",
                  {.path = base.file->path(),
                   .tensor = tensor,
                   .expected = "BF16, F16 or F32",
                   .found = std::string(name(base.dtype)),
                   .advice = "Pass the original transformer as --base-transformer-dir"});
    }
  }
}

}  // namespace ditq
