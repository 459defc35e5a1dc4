#pragma once
// exp for vector loops: no branches, no calls.

#include <bit>
#include <cmath>
#include <cstdint>

namespace ditq {

/// e^x within 2 units in the last place of f32 for x in [-87, 88]; below, it goes to zero; NaN stays NaN.
/// Range reduction by ln 2 in two parts and a polynomial of degree 6 (Cephes expf).
inline float fast_exp(float x) {
  constexpr float kLog2E = 1.44269504F;
  constexpr float kLn2High = 0.693359375F;
  constexpr float kLn2Low = -2.12194440e-4F;
  constexpr float kRound =
      12582912.0F;  // 1.5 * 2^23: adding and subtracting it rounds to an integer
  const float clamped = x < -87.0F ? -87.0F : x;
  const float power = (clamped * kLog2E + kRound) - kRound;
  const float r = (clamped - power * kLn2High) - power * kLn2Low;
  float y = 1.9875691500e-4F;
  y = y * r + 1.3981999507e-3F;
  y = y * r + 8.3334519073e-3F;
  y = y * r + 4.1665795894e-2F;
  y = y * r + 1.6666665459e-1F;
  y = y * r + 5.0000001201e-1F;
  y = y * r * r + r + 1.0F;
  const auto exponent = static_cast<std::uint32_t>(static_cast<std::int32_t>(power) + 127) << 23;
  const float scaled = y * std::bit_cast<float>(exponent);
  return x < -87.0F ? 0.0F : scaled;
}

/// e^x within 2e-4 relative for x in [-87, 0], for weights that are rounded to bf16 next: 2^(x log2 e), the power of two
/// of the fraction by a cubic. Below -87 it is 0; NaN stays NaN.
/// Source: Malossi, Ineichen, Bekas, Curioni, "Fast Exponential Computation on SIMD Architectures" (2015), with the
/// coefficients of torch's attention, so that weights round as they do there.
inline float coarse_exp(float x) {
  constexpr float kLog2E = 1.44269504F;
  constexpr float kTwo23 = 8388608.0F;
  constexpr float kLeast = -87.336544F;  // ln of the smallest normal float
  const float power = (x < kLeast ? kLeast : x) * kLog2E;
  const float fraction = power - std::floor(power);
  float error = __builtin_fmaf(fraction, -0.079204240219773236F, -0.22433836478672356F);
  error = __builtin_fmaf(fraction, error, 0.30354260500649682F);
  error = __builtin_fmaf(fraction, error, 0.00010703434948458272F);
  const float bits = __builtin_fmaf(kTwo23, power - error, kTwo23 * 127.0F);
  const float value = std::bit_cast<float>(static_cast<std::int32_t>(x == x ? bits : 0.0F));
  const float bounded = x < kLeast ? 0.0F : value;
  return x == x ? bounded : x;
}

}  // namespace ditq
