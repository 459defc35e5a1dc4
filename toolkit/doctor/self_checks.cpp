#include "doctor/self_checks.h"

#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "quant/fp8.h"
#include "quant/nvfp4.h"

namespace ditq {
namespace {

// What no weight or activation of a network reaches, with orders of magnitude to spare.
constexpr double kLeastWeightAmax = 1e-8;
constexpr double kMostWeightAmax = 1e5;
constexpr double kLeastInputAmax = 1e-6;
constexpr double kMostInputAmax = 1e7;

FindingText implausible(const std::string& what, double value) {
  return {.kind = "implausible_scale",
          .one = fmt::format("the {} of '{{}}' cannot be right: it stands for an amax of {:.2g}",
                             what, value),
          .many = fmt::format("the {} of {{}} layers cannot be right: amax of about {:.0e}", what,
                              value),
          .advice = "Calibrate or export again"};
}

void check_input_scale(const TensorView& view, const LayerData& data, Findings& findings) {
  const std::string tensor = data.layer().name + ".input_scale";
  const bool fp8 = data.layer().encoding == Encoding::fp8;
  if (view.find(tensor) == nullptr) {
    if (data.has_row_scales()) return;  // activations have a scale a token, made at run time
    return findings.add({.kind = "no_input_scale",
                         .severity = Severity::note,
                         .one = "'{}' has no input_scale: its activations have no static scale",
                         .many = "{} layers have no input_scale: their activations have no static "
                                 "scale"},
                        data.layer().name);
  }
  for (const float scale : plain_values(view, tensor)) {
    const double amax = double{scale} * kE4m3Max * (fp8 ? 1.0 : double{kE2m1Max});
    if (!std::isfinite(scale) || scale <= 0.0f) {
      findings.add({.kind = "bad_scale",
                    .one = "the input_scale of '{}' is not a finite number above zero",
                    .many = "the input_scale of {} layers is not a finite number above zero"},
                   data.layer().name);
    } else if (amax < kLeastInputAmax || amax > kMostInputAmax) {
      findings.add(implausible("input_scale", amax), data.layer().name);
    }
  }
}

void check_weight_amax(const std::string& layer,
                       const char* scale,
                       double amax,
                       Findings& findings) {
  if (amax >= kLeastWeightAmax && amax <= kMostWeightAmax) return;
  findings.add(implausible(scale, amax), layer);
}

const FindingText kAllZero = {.kind = "all_zero",
                              .one = "all weights of '{}' are zero",
                              .many = "all weights of {} layers are zero"};

/// Largest magnitude of an FP8 weight whose codes are numbers.
double fp8_amax(const LayerData& data) {
  const std::size_t columns = data.layer().columns;
  double amax = 0;
  for (std::size_t row = 0; row < data.layer().rows; ++row) {
    unsigned largest = 0;
    for (const std::uint8_t code : data.codes().subspan(row * columns, columns)) {
      const unsigned magnitude = code & 0x7fU;
      if (magnitude < 0x7fU) largest = std::max(largest, magnitude);
    }
    amax = std::max(amax,
                    decode_e4m3(static_cast<std::uint8_t>(largest)) * double{data.row_scale(row)});
  }
  return amax;
}

double check_fp8(const LayerData& data, Findings& findings) {
  std::size_t nans = 0;
  std::size_t at_most = 0;
  std::size_t below = 0;
  unsigned largest = 0;
  for (const std::uint8_t code : data.codes()) {
    const unsigned magnitude = code & 0x7fU;
    nans += magnitude == 0x7fU ? 1 : 0;
    at_most += magnitude == 0x7eU ? 1 : 0;
    below += magnitude == 0x7dU ? 1 : 0;
    if (magnitude < 0x7fU) largest = std::max(largest, magnitude);
  }
  const std::string& layer = data.layer().name;
  if (nans > 0) {
    findings.add({.kind = "not_a_number",
                  .one = "FP8 codes of '{}' are NaN",
                  .many = "FP8 codes of {} layers are NaN",
                  .advice = "The scale was too small, or the weight all zero: export again"},
                 layer);
  }
  if (largest == 0) {
    findings.add(kAllZero, layer);
    return 0;
  }
  // A converter that clamps piles up at 448 what its scale is too small for. Weights of two values do so too.
  if (!data.has_row_scales() && at_most > 64 && at_most > data.codes().size() / 100 &&
      at_most > 2 * below) {
    findings.add(
        {.kind = "saturated",
         .severity = Severity::note,
         .one = "many weights of '{}' lie at the largest FP8 value, 448: is its scale too small?",
         .many = "many weights of {} layers lie at the largest FP8 value, 448: are their scales "
                 "too small?",
         .advice = "Make sure with --base"},
        layer);
  }
  const double amax = fp8_amax(data);
  check_weight_amax(layer, "weight_scale", amax, findings);
  return amax;
}

/// How much of the variance of log(scale) rows and columns explain. A matrix in its true order has rows
/// and columns that differ in size; shuffled by 128x4 tiles it has not.
double explained_by_rows_and_columns(std::span<const std::uint8_t> scales,
                                     std::size_t rows,
                                     std::size_t columns) {
  std::vector<double> row_sums(rows);
  std::vector<double> column_sums(columns);
  double sum = 0;
  double squares = 0;
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < columns; ++c) {
      const double value = std::log2(std::max(decode_e4m3(scales[r * columns + c]), 0x1p-10f));
      row_sums[r] += value;
      column_sums[c] += value;
      sum += value;
      squares += value * value;
    }
  }
  const auto count = static_cast<double>(scales.size());
  const double total = squares - sum * sum / count;
  double explained = -2 * sum * sum / count;
  for (const double value : row_sums) explained += value * value / static_cast<double>(columns);
  for (const double value : column_sums) explained += value * value / static_cast<double>(rows);
  return total > 0 ? explained / total : 0.0;
}

double check_nvfp4(const LayerData& data, Findings& findings) {
  const Layer& layer = data.layer();
  const std::span<const std::uint8_t> scales = data.block_scales();
  const std::span<const std::uint8_t> codes = data.codes();
  constexpr std::size_t kBytes = kNvfp4Block / 2;
  // A scale is its block's amax / 6 (or / 4 with some quantizers), so that the largest code is 6 or 4
  // unless the scale was clamped.
  std::size_t judged = 0;
  std::size_t reaching = 0;
  double amax = 0;
  for (std::size_t block = 0; block < scales.size(); ++block) {
    unsigned largest = 0;
    for (std::size_t i = block * kBytes; i < (block + 1) * kBytes; ++i) {
      largest = std::max({largest, codes[i] & 7U, (codes[i] >> 4) & 7U});
    }
    amax = std::max(amax, double{decode_e4m3(scales[block])} * e2m1_values()[largest]);
    if (largest == 0 || scales[block] <= 0x08) continue;
    ++judged;
    reaching += largest >= 6 ? 1 : 0;
  }
  amax *= data.scale();
  if (amax == 0.0) {
    findings.add(kAllZero, layer.name);
    return 0;
  }
  if (judged > 0 && reaching < judged / 2) {
    findings.add(
        {.kind = "codes_unused",
         .one = "most blocks of '{}' use no code above 3: these are no NVFP4 blocks of 16",
         .many = "most blocks of {} layers use no code above 3: these are no NVFP4 blocks of "
                 "16",
         .advice = "Export again"},
        layer.name);
  }
  check_weight_amax(layer.name, "weight_scale_2", amax, findings);
  return amax;
}

std::string role_of(const std::string& layer) {
  std::string role;
  for (std::size_t begin = 0; begin <= layer.size();) {
    const std::size_t end = std::min(layer.find('.', begin), layer.size());
    const std::string part = layer.substr(begin, end - begin);
    const bool number = part.find_first_not_of("0123456789") == std::string::npos;
    role += "." + (number && role.find('#') == std::string::npos ? "#" : part);
    begin = end + 1;
  }
  return role;
}

}  // namespace

LayerAmax check_itself(const TensorView& view, const LayerData& data, Findings& findings) {
  check_input_scale(view, data, findings);
  return {data.layer().name, data.layer().encoding == Encoding::fp8 ? check_fp8(data, findings)
                                                                    : check_nvfp4(data, findings)};
}

void check_scale_order(const LayerData& data, Findings& findings) {
  const Layer& layer = data.layer();
  const std::size_t columns = layer.columns / kNvfp4Block;
  const bool unpadded = swizzled_scales_size(layer.rows, columns) == layer.rows * columns;
  if (!unpadded || layer.rows < 256 || columns < 16) return;
  const double loaded = explained_by_rows_and_columns(data.block_scales(), layer.rows, columns);
  const ScaleOrder order = layer.unswizzled ? ScaleOrder::swizzled : ScaleOrder::unswizzled;
  const double other = explained_by_rows_and_columns(data.arranged_scales({.scale_order = order}),
                                                     layer.rows, columns);
  constexpr double kClearly = 0.3;
  if (other <= loaded + kClearly) return;
  FindingText text{
      .kind = "scale_order",
      .one = "block scales of '{}' look swizzled: only so do rows and columns differ in size",
      .many =
          "block scales of {} layers look swizzled: only so do rows and columns "
          "differ in size",
      .advice = "Make sure with --base"};
  if (layer.unswizzled) {
    text.one = "block scales of '{}' look row by row, but are read as swizzled";
    text.many = "block scales of {} layers look row by row, but are read as swizzled";
  }
  findings.add(text, layer.name);
}

void check_amax_among_blocks(const std::vector<LayerAmax>& layers, Findings& findings) {
  std::map<std::string, std::vector<const LayerAmax*>> roles;
  for (const LayerAmax& layer : layers) {
    if (layer.weight > 0) roles[role_of(layer.layer)].push_back(&layer);
  }
  for (const auto& [role, members] : roles) {
    if (members.size() < 4) continue;
    std::vector<double> values;
    for (const LayerAmax* member : members) values.push_back(member->weight);
    std::nth_element(values.begin(),
                     values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
    const double median = values[values.size() / 2];
    for (const LayerAmax* member : members) {
      constexpr double kFar = 1000;
      if (member->weight < kFar * median && member->weight * kFar > median) continue;
      findings.add({.kind = "implausible_scale",
                    .one = "the amax of '{}' is a thousand times from that of its like in other "
                           "blocks",
                    .many = "the amax of {} layers is a thousand times from that of their like in "
                            "other blocks",
                    .advice = "Make sure with --base"},
                   member->layer);
    }
  }
}

}  // namespace ditq
