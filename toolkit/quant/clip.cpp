#include "quant/clip.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "base/float.h"
#include "quant/clip_kernels.h"
#include "quant/fp8.h"
#include "quant/nvfp4.h"

namespace ditq {
namespace {

/// Elements that are looked at together: they stay in the first cache level for all candidates.
constexpr std::size_t kPiece = 4096;

/// Calls visit with the elements as float32, at most kPiece at a time.
template <typename Visit>
void for_floats(Dtype dtype, Bytes bytes, const Visit& visit) {
  const std::size_t width = bits(dtype) / 8;
  DITQ_ASSERT(bytes.size() % width == 0);
  std::array<float, kPiece> values;
  for (std::size_t begin = 0; begin < bytes.size() / width; begin += kPiece) {
    const std::size_t count = std::min(kPiece, bytes.size() / width - begin);
    const auto each_half = [&](auto convert) {
      for (std::size_t i = 0; i < count; ++i) {
        std::uint16_t half = 0;
        std::memcpy(&half, bytes.data() + (begin + i) * 2, sizeof(half));
        values[i] = convert(half);
      }
    };
    if (dtype == Dtype::f32) {
      std::memcpy(values.data(), bytes.data() + begin * 4, count * 4);
    } else if (dtype == Dtype::bf16) {
      each_half([](std::uint16_t half) { return bf16_to_float(half); });
    } else {
      DITQ_ASSERT(dtype == Dtype::f16);
      each_half([](std::uint16_t half) { return f16_to_float(half); });
    }
    visit(std::span<const float>(values.data(), count));
  }
}

/// Bits of magnitudes order as magnitudes do, with NaN above infinity.
std::uint32_t magnitude_bits(float value) {
  return std::bit_cast<std::uint32_t>(value) & 0x7fffffffU;
}

struct Extent {
  std::uint64_t count = 0;
  float amax = 0;
};

Extent extent_of(Dtype dtype, const WeightReader& weight) {
  std::uint64_t count = 0;
  std::uint32_t largest = 0;
  weight([&](Bytes piece) {
    for_floats(dtype, piece, [&](std::span<const float> values) {
      count += values.size();
      for (const float value : values) largest = std::max(largest, magnitude_bits(value));
    });
  });
  return {count, std::bit_cast<float>(largest)};
}

/// The k-th smallest magnitude by counting: the upper 16 bits first, then the lower 15 of the bucket that holds it.
float nearest_rank(Dtype dtype, const WeightReader& weight, std::uint64_t rank) {
  constexpr unsigned kLow = 15;
  std::vector<std::uint64_t> upper(std::size_t{1} << 16);
  weight([&](Bytes piece) {
    for_floats(dtype, piece, [&](std::span<const float> values) {
      for (const float value : values) ++upper[magnitude_bits(value) >> kLow];
    });
  });
  std::uint32_t bucket = 0;
  while (rank > upper[bucket]) rank -= upper[bucket++];
  std::vector<std::uint64_t> lower(std::size_t{1} << kLow);
  weight([&](Bytes piece) {
    for_floats(dtype, piece, [&](std::span<const float> values) {
      for (const float value : values) {
        const std::uint32_t all = magnitude_bits(value);
        if (all >> kLow == bucket) ++lower[all & ((1U << kLow) - 1)];
      }
    });
  });
  std::uint32_t rest = 0;
  while (rank > lower[rest]) rank -= lower[rest++];
  return std::bit_cast<float>(bucket << kLow | rest);
}

float percentile_of(double percentile, Dtype dtype, const WeightReader& weight, const Extent& all) {
  // 99.9 / 100 is a little more than it should be, which must not raise a whole rank.
  const double exact = percentile / 100 * static_cast<double>(all.count) * (1 - 1e-12);
  const auto rank =
      static_cast<std::uint64_t>(std::clamp(std::ceil(exact), 1.0, static_cast<double>(all.count)));
  const float value = nearest_rank(dtype, weight, rank);
  return value > 0 ? value : all.amax;
}

/// Candidates amax · 2^(j / steps), j = -steps … steps - 1, in the order in which ties are broken: 0, -1, 1, -2, ….
std::vector<float> candidates(float amax, int steps) {
  std::vector<float> out = {amax};
  for (int j = 1; j <= steps; ++j) {
    for (const int signed_j : {-j, j}) {
      if (signed_j == steps) continue;
      const double factor = std::exp2(static_cast<double>(signed_j) / steps);
      const auto value = static_cast<float>(double{amax} * factor);
      // Scales must be numbers above zero on both ends of float32.
      if (value / kE4m3Max >= 0x1p-126f && std::isfinite(value)) out.push_back(value);
    }
  }
  return out;
}

float least(const std::vector<float>& amax, const std::vector<double>& errors) {
  const auto best = std::min_element(errors.begin(), errors.end());
  return amax[static_cast<std::size_t>(best - errors.begin())];
}

float least_error_e4m3(Dtype dtype, const WeightReader& weight, float amax) {
  const std::vector<float> all = candidates(amax, 32);
  std::vector<double> errors(all.size());
  weight([&](Bytes piece) {
    for_floats(dtype, piece, [&](std::span<const float> values) {
      for (std::size_t i = 0; i < all.size(); ++i) {
        errors[i] += clip::squared_error_e4m3(values.data(), values.size(), all[i] / kE4m3Max);
      }
    });
  });
  return least(all, errors);
}

/// The squared error of whole blocks with this global scale.
double squared_error_nvfp4(Dtype dtype, Bytes blocks, float global_scale) {
  const std::size_t count = blocks.size() / (bits(dtype) / 8);
  std::vector<std::uint8_t> packed(count / 2);
  std::vector<std::uint8_t> scales(count / kNvfp4Block);
  std::vector<float> values(count);
  quantize_nvfp4(dtype, blocks, global_scale, packed, scales);
  dequantize_nvfp4(packed, scales, global_scale, values);
  double sum = 0;
  std::size_t at = 0;
  for_floats(dtype, blocks, [&](std::span<const float> exact) {
    for (const float value : exact) {
      const double difference = double{value} - double{values[at++]};
      sum += difference * difference;
    }
  });
  return sum;
}

float least_error_nvfp4(Dtype dtype, const WeightReader& weight, float amax) {
  const std::vector<float> all = candidates(amax, 8);
  std::vector<double> errors(all.size());
  const std::size_t bytes = kPiece * bits(dtype) / 8;
  weight([&](Bytes piece) {
    for (std::size_t begin = 0; begin < piece.size(); begin += bytes) {
      const Bytes part = piece.subspan(begin, std::min(bytes, piece.size() - begin));
      for (std::size_t i = 0; i < all.size(); ++i) {
        errors[i] += squared_error_nvfp4(dtype, part, nvfp4_global_scale(all[i]));
      }
    }
  });
  return least(all, errors);
}

template <typename LeastError>
float clipped_amax(const WeightClip& clip,
                   Dtype dtype,
                   const WeightReader& weight,
                   const LeastError& least_error) {
  const Extent all = extent_of(dtype, weight);
  if (clip.rule == WeightClip::Rule::none || !std::isfinite(all.amax) || all.amax == 0) {
    return all.amax;
  }
  if (clip.rule == WeightClip::Rule::mse) return least_error(dtype, weight, all.amax);
  return percentile_of(clip.percentile, dtype, weight, all);
}

[[noreturn]] void refuse(std::string_view text) {
  throw Error(ErrorCode::usage, "unknown --weight-clip",
              {.expected = "none, mse or percentile:P with P above 0 and at most 100",
               .found = fmt::format("'{}'", text)});
}

}  // namespace

WeightClip parse_weight_clip(std::string_view text) {
  if (text == "none") return {};
  if (text == "mse") return {.rule = WeightClip::Rule::mse};
  constexpr std::string_view kPercentile = "percentile:";
  if (!text.starts_with(kPercentile)) refuse(text);
  const std::string_view number = text.substr(kPercentile.size());
  double value = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  const bool read = error == std::errc() && end == number.data() + number.size();
  if (!read || !(value > 0 && value <= 100)) refuse(text);
  return {.rule = WeightClip::Rule::percentile, .percentile = value};
}

std::string to_string(const WeightClip& clip) {
  if (clip.rule == WeightClip::Rule::none) return "none";
  if (clip.rule == WeightClip::Rule::mse) return "mse";
  return fmt::format("percentile:{}", clip.percentile);
}

float clipped_amax_e4m3(const WeightClip& clip, Dtype dtype, const WeightReader& weight) {
  return clipped_amax(clip, dtype, weight, least_error_e4m3);
}

float clipped_amax_e4m3(const WeightClip& clip, Dtype dtype, Bytes row) {
  return clipped_amax_e4m3(clip, dtype,
                           [row](const std::function<void(Bytes)>& visit) { visit(row); });
}

float clipped_amax_nvfp4(const WeightClip& clip, Dtype dtype, const WeightReader& weight) {
  return clipped_amax(clip, dtype, weight, least_error_nvfp4);
}

std::size_t quantize_e4m3_clamped(Dtype dtype,
                                  Bytes source,
                                  float scale,
                                  std::span<std::uint8_t> codes) {
  DITQ_ASSERT(source.size() == codes.size() * bits(dtype) / 8);
  std::size_t nans = 0;
  std::size_t at = 0;
  for_floats(dtype, source, [&](std::span<const float> values) {
    nans += clip::encode_e4m3_clamped(values.data(), values.size(), scale, codes.data() + at);
    at += values.size();
  });
  return nans;
}

}  // namespace ditq
