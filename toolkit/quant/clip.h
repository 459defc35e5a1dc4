#pragma once
// Weight clipping: the amax that a weight's scale is made of, chosen smaller (or larger) than its largest magnitude where
// that serves the other weights. What lies above a chosen amax saturates; encoders must clamp then.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "base/dtype.h"
#include "base/file.h"

namespace ditq {

/// How an amax is chosen.
struct WeightClip {
  enum class Rule {
    none,        ///< the largest magnitude
    percentile,  ///< a quantile of the magnitudes
    mse,         ///< the candidate with the least squared error of the dequantized weight
  };
  Rule rule = Rule::none;
  double percentile = 100;  ///< in (0, 100]

  bool operator==(const WeightClip&) const = default;
};

/// "none", "mse", "percentile:99.9". Errors: usage.
WeightClip parse_weight_clip(std::string_view text);

/// The inverse, as configs carry it.
std::string to_string(const WeightClip& clip);

/// Calls visit with all elements of a weight, in order and in pieces; a weight is read up to three times. For NVFP4 every
/// piece holds whole blocks.
using WeightReader = std::function<void(const std::function<void(Bytes)>& visit)>;

/// The amax of an E4M3 weight with one scale. With n elements and magnitudes |w| as float32:
/// - none: max |w|;
/// - percentile P: the k-th smallest |w|, k = max(1, ceil(P / 100 · n)) (nearest rank, exact); where that is 0, max |w|;
/// - mse: of max |w| · 2^(j/32), j = -32 … 31, the one with the least sum of (w - s · E4M3(clamp(w / s, ±448)))², s = amax /
///   448; the candidate with j = 0 wins ties, then the smaller |j|, then the negative one. So it is never worse than none.
///   Candidates above max |w| clip nothing: they move the weights over E4M3's steps, which repeat every octave.
/// A weight with NaN gives NaN, with infinity infinity, of zeros 0. Deterministic: the sums are in binary64, in an order
/// that the pieces do not change as long as each holds a multiple of 4096 elements or is the last.
/// Dtypes: f32, bf16, f16.
float clipped_amax_e4m3(const WeightClip& clip, Dtype dtype, const WeightReader& weight);

/// The same for one row of a weight with a scale for each.
float clipped_amax_e4m3(const WeightClip& clip, Dtype dtype, Bytes row);

/// The amax that the global scale of an NVFP4 weight is made of (amax / 2688): as for E4M3, with candidates j / 8, j = -8 … 7,
/// and the error of the whole encoding of quant/nvfp4.h, whose block scales saturate at 448 by themselves.
float clipped_amax_nvfp4(const WeightClip& clip, Dtype dtype, const WeightReader& weight);

/// codes[i] = encode_e4m3(clamp(float32(source[i]) / scale, ±448)), one true division an element; NaN becomes 0x7f. What a
/// weight with a chosen amax is encoded with. Shapes and return value: as quantize_e4m3 (quant/fp8.h).
std::size_t quantize_e4m3_clamped(Dtype dtype,
                                  Bytes source,
                                  float scale,
                                  std::span<std::uint8_t> codes);

}  // namespace ditq
