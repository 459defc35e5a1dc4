#include "doctor/base_checks.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "doctor/comparison.h"
#include "family/dialect.h"

namespace ditq {
namespace {

constexpr const char* kNibbleOrder = "nibble_order";
constexpr const char* kScaleOrder = "scale_order";

const FindingText kNibbles = {.kind = kNibbleOrder,
                              .one = "the nibbles of '{}' look exchanged",
                              .many = "the nibbles of {} layers look exchanged",
                              .remedy = "exchanging them"};
const FindingText kSwizzled = {.kind = kScaleOrder,
                               .one = "block scales of '{}' look swizzled",
                               .many = "block scales of {} layers look swizzled",
                               .remedy = "un-swizzling"};
const FindingText kNotSwizzled = {
    .kind = kScaleOrder,
    .one = "block scales of '{}' look row by row, but are read as swizzled",
    .many =
        "block scales of {} layers look row by row, but are read as "
        "swizzled",
    .remedy = "reading them as they are"};
const FindingText kTwiceSwizzled = {.kind = kScaleOrder,
                                    .one = "block scales of '{}' look swizzled twice",
                                    .many = "block scales of {} layers look swizzled twice",
                                    .remedy = "un-swizzling once more"};
const FindingText kTwiceUndone = {
    .kind = kScaleOrder,
    .one = "block scales of '{}' look un-swizzled once too often",
    .many = "block scales of {} layers look un-swizzled once too often",
    .remedy = "swizzling"};
const FindingText kHalves = {.kind = "swapped_halves",
                             .one = "the halves of '{}' look exchanged",
                             .many = "the halves of {} layers look exchanged",
                             .remedy = "exchanging them",
                             .advice =
                                 "BFL stores the last modulation as (shift, scale), diffusers "
                                 "as (scale, shift)"};
const FindingText kScaleHalves = {.kind = "swapped_halves",
                                  .one = "the halves of the scales of '{}' look exchanged",
                                  .many = "the halves of the scales of {} layers look exchanged",
                                  .remedy = "exchanging them"};
const FindingText kCodeHalves = {.kind = "swapped_halves",
                                 .one =
                                     "the halves of the codes of '{}' look exchanged, not those of "
                                     "its scales",
                                 .many =
                                     "the halves of the codes of {} layers look exchanged, not "
                                     "those of their scales",
                                 .remedy = "exchanging them"};

/// Distances beyond which a layer is not this base's, whatever it holds. Quantizing random weights gives
/// 0.1 (NVFP4) and 0.03 (FP8), the worst case of single elements a fifth and a sixteenth of them. Plain
/// weights of another dtype are off by a rounding; SVDQuant's plain layers by several.
double limit_of(const Layer& layer) {
  if (layer.encoding == Encoding::nvfp4) return 0.25;
  if (layer.encoding == Encoding::fp8) return 0.1;
  return layer.smoothed ? 0.03 : 0.004;
}

void report_arrangement(const Comparison& found, const Layer& layer, Findings& findings) {
  const Arrangement& arrangement = found.arrangement;
  const auto add = [&](const FindingText& text) {
    findings.add(text, layer.name, found.as_stored.error, found.arranged.error);
  };
  if (arrangement.swap_nibbles) add(kNibbles);
  if (arrangement.scale_order == ScaleOrder::unswizzled) {
    add(layer.unswizzled ? kTwiceSwizzled : kSwizzled);
  }
  if (arrangement.scale_order == ScaleOrder::swizzled) {
    add(layer.unswizzled ? kNotSwizzled : kTwiceUndone);
  }
  if (arrangement.swap_code_halves && arrangement.swap_scale_halves) add(kHalves);
  if (!arrangement.swap_code_halves && arrangement.swap_scale_halves) add(kScaleHalves);
  if (arrangement.swap_code_halves && !arrangement.swap_scale_halves) add(kCodeHalves);
}

FindingText wrong_scale(const Layer& layer, const Comparison& found, float scale) {
  const std::string tensor =
      layer.encoding == Encoding::nvfp4 ? "global scale (weight_scale_2)" : "weight_scale";
  return {.kind = "global_scale",
          .one = fmt::format("the {} of '{{}}' looks wrong: {:.4g}, where {:.4g} fits", tensor,
                             scale, scale * found.scale),
          .many = fmt::format("the {} of {{}} layers looks wrong", tensor),
          .remedy = "correcting it",
          .advice = "Convert or export again with the calibrated amax"};
}

void report_quantized(const LayerData& data, const Comparison& found, Findings& findings) {
  const Layer& layer = data.layer();
  // Rounding to the nearest shrinks or stretches a layer by a hundredth at most.
  constexpr double kOtherScale = 1.05;
  const bool rearranged = found.arrangement != Arrangement();
  if (rearranged) report_arrangement(found, layer, findings);
  const bool fits = found.scaled.error < limit_of(layer);
  const bool rescaled = found.scale > kOtherScale || found.scale * kOtherScale < 1.0;
  if (fits && rescaled) {
    return findings.add(wrong_scale(layer, found, data.scale()), layer.name, found.as_stored.error,
                        found.scaled.error);
  }
  if (rearranged || found.error <= limit_of(layer)) return;
  findings.add({.kind = "differs_from_base",
                .one = "'{}' does not fit the base",
                .many = "{} quantized layers do not fit the base",
                .advice = "Is --base this checkpoint's original? Or the layer is damaged"},
               layer.name, found.error);
}

void report_plain(const LayerData& data, const Comparison& found, Findings& findings) {
  const Layer& layer = data.layer();
  if (found.arrangement.swap_code_halves) {
    return findings.add(kHalves, layer.name, found.as_stored.error, found.arranged.error);
  }
  if (found.error <= limit_of(layer)) return;
  findings.add({.kind = "differs_from_base",
                .one = "'{}' is not quantized, but differs from the base",
                .many = "{} layers are not quantized, but differ from the base",
                .advice = "Is --base this checkpoint's original?"},
               layer.name, found.error);
}

bool same_bytes(const TensorView& a, const TensorView& b, const std::string& tensor) {
  if (a.at(tensor).dtype != b.at(tensor).dtype) return false;
  const TensorBytes ours = a.read(tensor);
  const TensorBytes theirs = b.read(tensor);
  return std::equal(ours.bytes.begin(), ours.bytes.end(), theirs.bytes.begin(), theirs.bytes.end());
}

/// Relative L2 distance of two vectors, the first turned round its middle where asked for.
double distance(const std::vector<float>& ours, const std::vector<float>& base, bool halves) {
  double sum = 0;
  double norm = 0;
  for (std::size_t i = 0; i < base.size(); ++i) {
    const std::size_t from = halves ? (i + base.size() / 2) % base.size() : i;
    const double difference = double{base[i]} - ours[from];
    sum += difference * difference;
    norm += double{base[i]} * base[i];
  }
  return norm > 0 ? std::sqrt(sum / norm) : sum > 0 ? INFINITY : 0.0;
}

void check_vector(const std::string& tensor,
                  const TensorView& tensors,
                  const TensorView& base,
                  Findings& findings) {
  const std::vector<float> ours = plain_values(tensors, tensor);
  const std::vector<float> theirs = plain_values(base, tensor);
  const double error = distance(ours, theirs, /*halves=*/false);
  const double exchanged =
      ours.size() % 2 == 0 ? distance(ours, theirs, /*halves=*/true) : INFINITY;
  constexpr double kRounding = 0.004;
  if (error <= kRounding) return;
  if (exchanged <= kRounding) return findings.add(kHalves, tensor, error, exchanged);
  findings.add({.kind = "differs_from_base",
                .one = "'{}' differs from the base",
                .many = "{} tensors that are no weights differ from the base",
                .advice = "Is --base this checkpoint's original?"},
               tensor, error);
}

std::size_t packed_layers(const std::vector<Layer>& layers) {
  return static_cast<std::size_t>(
      std::count_if(layers.begin(), layers.end(),
                    [](const Layer& layer) { return layer.encoding == Encoding::nvfp4; }));
}

}  // namespace

void check_against_base(const LayerData& data,
                        const TensorView& base,
                        Findings& findings,
                        ExaminedLayer& examined) {
  const Layer& layer = data.layer();
  const std::optional<Layer> found_base = find_layer(base, layer.name);
  if (!found_base || found_base->rows != layer.rows || found_base->columns != layer.columns) {
    return;
  }
  const LayerData original(base, *found_base);
  examined.equals_base = !layer.smoothed && data.equals(original);
  if (examined.equals_base) {
    examined.error = 0.0;
    return;
  }
  const Comparison found = compare_with_base(data, original);
  examined.error = found.error;
  if (layer.encoding == Encoding::plain) {
    report_plain(data, found, findings);
  } else {
    report_quantized(data, found, findings);
  }
}

void check_other_tensors(const TensorView& tensors, const TensorView& base, Findings& findings) {
  for (const auto& [name, facts] : base.tensors()) {
    const ViewedTensor* ours = tensors.find(name);
    const bool is_weight = split_tensor_name(name).parameter == "weight" && !facts.shape.empty();
    if (ours == nullptr || is_weight || ours->shape != facts.shape) continue;
    try {
      if (!same_bytes(tensors, base, name)) check_vector(name, tensors, base, findings);
    } catch (const Error& error) {
      findings.add_content(error, name);
    }
  }
}

void explain_keys(const TransformerSource& source,
                  const std::vector<Layer>& layers,
                  std::vector<Finding>& findings) {
  const std::size_t packed = packed_layers(layers);
  const Nvfp4Declaration& declared = source.quant.nvfp4;
  for (Finding& finding : findings) {
    if (finding.layers.size() != packed || packed == 0) continue;
    if (finding.kind == kNibbleOrder && declared.swap_weight_nibbles) {
      finding.message += fmt::format(". swap_weight_nibbles is {} and contradicts the weights",
                                     *declared.swap_weight_nibbles);
      finding.advice = fmt::format("Set swap_weight_nibbles to {} in {}",
                                   !*declared.swap_weight_nibbles, source.quant.source);
    } else if (finding.kind == kScaleOrder && declared.scale_layout) {
      finding.message +=
          fmt::format(". checkpoint_weight_scale_layout is '{}' and contradicts the weights",
                      name(*declared.scale_layout));
      finding.advice = "Correct checkpoint_weight_scale_layout in " + source.quant.source;
    }
  }
}

}  // namespace ditq
