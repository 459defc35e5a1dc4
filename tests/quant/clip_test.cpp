#include "quant/clip.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/float.h"
#include "quant/fp8.h"
#include "quant/nvfp4.h"

namespace ditq {
namespace {

constexpr WeightClip kMse{.rule = WeightClip::Rule::mse};

WeightClip percentile(double value) {
  return {.rule = WeightClip::Rule::percentile, .percentile = value};
}

Bytes bytes_of(const std::vector<float>& values) {
  return std::as_bytes(std::span(values));
}

/// Pieces of that many elements.
WeightReader pieces(const std::vector<float>& values, std::size_t size) {
  return [&values, size](const std::function<void(Bytes)>& visit) {
    for (std::size_t at = 0; at < values.size(); at += size) {
      visit(bytes_of(values).subspan(4 * at, 4 * std::min(size, values.size() - at)));
    }
  };
}

/// sum (w - s q)², by the tables of quant/fp8.h.
double error_e4m3(const std::vector<float>& values, float amax) {
  const float scale = amax / kE4m3Max;
  double sum = 0;
  for (const float value : values) {
    const double back = double{decode_e4m3(encode_e4m3_saturating(value / scale)) * scale};
    sum += (double{value} - back) * (double{value} - back);
  }
  return sum;
}

double error_nvfp4(const std::vector<float>& values, float amax) {
  std::vector<std::uint8_t> packed(values.size() / 2);
  std::vector<std::uint8_t> scales(values.size() / kNvfp4Block);
  std::vector<float> back(values.size());
  quantize_nvfp4(Dtype::f32, bytes_of(values), nvfp4_global_scale(amax), packed, scales);
  dequantize_nvfp4(packed, scales, nvfp4_global_scale(amax), back);
  double sum = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    sum += (double{values[i]} - double{back[i]}) * (double{values[i]} - double{back[i]});
  }
  return sum;
}

/// Weights that clipping is tempted by: outliers, one value, tiny and huge ones, two clusters, steps of E4M3 itself.
std::vector<std::vector<float>> adversaries() {
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0.0F, 0.02F);
  std::vector<std::vector<float>> out;
  std::vector<float> plain(4096);
  for (float& value : plain) value = normal(random);
  out.push_back(plain);
  std::vector<float> outlier = plain;
  outlier[17] = 40.0F;
  out.push_back(outlier);
  out.emplace_back(64, 0.3F);
  std::vector<float> tiny = plain;
  for (float& value : tiny) value *= 1e-30F;
  out.push_back(tiny);
  std::vector<float> huge = plain;
  for (float& value : huge) value *= 1e37F;
  out.push_back(huge);
  std::vector<float> clusters = plain;
  for (std::size_t i = 0; i < clusters.size(); i += 2) clusters[i] = 1.0F + 0.01F * clusters[i];
  out.push_back(clusters);
  std::vector<float> steps(256);
  for (unsigned code = 0; code < 127; ++code) {
    steps[code] = decode_e4m3(static_cast<std::uint8_t>(code));
  }
  out.push_back(steps);
  std::vector<float> ends(64);
  ends[0] = std::numeric_limits<float>::denorm_min();
  ends[1] = std::numeric_limits<float>::max();
  out.push_back(ends);
  return out;
}

float largest(const std::vector<float>& values) {
  float amax = 0;
  for (const float value : values) amax = std::max(amax, std::fabs(value));
  return amax;
}

TEST(WeightClip, WithoutARuleIsTheLargestMagnitude) {
  for (const std::vector<float>& values : adversaries()) {
    EXPECT_EQ(clipped_amax_e4m3({}, Dtype::f32, bytes_of(values)), largest(values));
    EXPECT_EQ(clipped_amax_nvfp4({}, Dtype::f32, pieces(values, 64)), largest(values));
  }
}

TEST(WeightClip, LeastErrorIsNeverWorseThanTheLargestMagnitude) {
  for (const std::vector<float>& values : adversaries()) {
    const float chosen = clipped_amax_e4m3(kMse, Dtype::f32, bytes_of(values));
    EXPECT_LE(error_e4m3(values, chosen), error_e4m3(values, largest(values)));
    if (largest(values) > 1e30F || largest(values) < 1e-25F) continue;  // NVFP4's scales end there
    const float nvfp4 = clipped_amax_nvfp4(kMse, Dtype::f32, pieces(values, 64));
    EXPECT_LE(error_nvfp4(values, nvfp4), error_nvfp4(values, largest(values)));
  }
}

TEST(WeightClip, LeastErrorIsTheBestOfItsCandidates) {
  const std::vector<float> values = adversaries().front();
  const float chosen = clipped_amax_e4m3(kMse, Dtype::f32, bytes_of(values));
  for (int j = -32; j < 32; ++j) {
    const auto amax = static_cast<float>(double{largest(values)} * std::exp2(j / 32.0));
    // The sums' orders differ: a last digit of binary64.
    EXPECT_LE(error_e4m3(values, chosen), error_e4m3(values, amax) * (1 + 1e-12)) << j;
  }
  EXPECT_LT(error_e4m3(values, chosen), error_e4m3(values, largest(values)));
}

TEST(WeightClip, LeastErrorKeepsAWeightThatIsExact) {
  const std::vector<float> steps = adversaries()[6];
  EXPECT_EQ(clipped_amax_e4m3(kMse, Dtype::f32, bytes_of(steps)), kE4m3Max);
}

TEST(WeightClip, PercentileIsTheNearestRank) {
  std::vector<float> values(1000);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(i + 1) * (i % 2 == 0 ? 1.0F : -1.0F);
  }
  std::mt19937 random(5);
  std::shuffle(values.begin(), values.end(), random);
  for (const auto& [wanted, expected] : std::vector<std::pair<double, float>>{
           {100, 1000}, {99.9, 999}, {99.85, 999}, {50, 500}, {0.1, 1}, {0.01, 1}}) {
    EXPECT_EQ(clipped_amax_e4m3(percentile(wanted), Dtype::f32, bytes_of(values)), expected)
        << wanted;
    EXPECT_EQ(clipped_amax_nvfp4(percentile(wanted), Dtype::f32, pieces(values, 48)), expected);
  }
}

TEST(WeightClip, PercentileHundredEqualsNone) {
  for (const std::vector<float>& values : adversaries()) {
    EXPECT_EQ(clipped_amax_e4m3(percentile(100), Dtype::f32, bytes_of(values)), largest(values));
  }
}

TEST(WeightClip, PercentileOfMostlyZerosIsNotZero) {
  std::vector<float> values(100);
  values[3] = -2.5F;
  EXPECT_EQ(clipped_amax_e4m3(percentile(90), Dtype::f32, bytes_of(values)), 2.5F);
}

TEST(WeightClip, PiecesDoNotMatter) {
  const std::vector<float> values = adversaries()[1];
  for (const WeightClip& clip : {WeightClip{}, kMse, percentile(99.5)}) {
    const float whole = clipped_amax_e4m3(clip, Dtype::f32, bytes_of(values));
    EXPECT_EQ(clipped_amax_e4m3(clip, Dtype::f32, pieces(values, 4096)), whole);
  }
}

TEST(WeightClip, ReadsHalvesAsTheirValues) {
  std::vector<std::uint16_t> bf16;
  std::vector<float> values;
  const std::vector<float> source = adversaries().front();
  for (const float value : source) {
    bf16.push_back(float_to_bf16(value));
    values.push_back(bf16_to_float(bf16.back()));
  }
  for (const WeightClip& clip : {WeightClip{}, kMse, percentile(99)}) {
    EXPECT_EQ(clipped_amax_e4m3(clip, Dtype::bf16, std::as_bytes(std::span(bf16))),
              clipped_amax_e4m3(clip, Dtype::f32, bytes_of(values)));
  }
}

TEST(WeightClip, ZerosAndWhatIsNoNumberStayVisible) {
  std::vector<float> values(32);
  for (const WeightClip& clip : {WeightClip{}, kMse, percentile(50)}) {
    EXPECT_EQ(clipped_amax_e4m3(clip, Dtype::f32, bytes_of(values)), 0.0F);
    values[5] = std::numeric_limits<float>::infinity();
    EXPECT_EQ(clipped_amax_e4m3(clip, Dtype::f32, bytes_of(values)), values[5]);
    values[6] = std::nanf("");
    EXPECT_TRUE(std::isnan(clipped_amax_e4m3(clip, Dtype::f32, bytes_of(values))));
    std::fill(values.begin(), values.end(), 0.0F);
  }
}

TEST(WeightClip, ClampedCodesAreThoseOfSingleValues) {
  std::vector<float> values = adversaries()[1];
  values.push_back(std::nanf(""));
  values.push_back(-std::numeric_limits<float>::infinity());
  std::vector<std::uint8_t> codes(values.size());
  constexpr float kScale = 0.0001F;
  EXPECT_EQ(quantize_e4m3_clamped(Dtype::f32, bytes_of(values), kScale, codes), 1U);
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(codes[i], encode_e4m3_saturating(values[i] / kScale)) << values[i];
  }
}

TEST(WeightClip, SpellsWhatItReads) {
  for (const char* text : {"none", "mse", "percentile:99.9", "percentile:100"}) {
    EXPECT_EQ(to_string(parse_weight_clip(text)), text);
  }
  for (const char* text : {"", "max", "percentile", "percentile:", "percentile:0", "percentile:101",
                           "percentile:nan", "percentile:9x", "MSE"}) {
    try {
      parse_weight_clip(text);
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::usage);
    }
  }
}

}  // namespace
}  // namespace ditq
