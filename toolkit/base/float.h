#pragma once
// Conversions between float and the two 16-bit formats, exact and without special instructions. Reading is always inlined, so
// that vector code for one instruction set stays in its own translation unit.

#include <cstdint>

namespace ditq {

/// The value of a bfloat16.
[[gnu::always_inline]] constexpr float bf16_to_float(std::uint16_t bits) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(bits) << 16);
}

/// Rounds to nearest, ties to even; every NaN becomes 0x7fc0, as in PyTorch.
/// Source: PyTorch c10/util/BFloat16.h @ 2.11.0 (round_to_nearest_even).
constexpr std::uint16_t float_to_bf16(float value) {
  if (value != value) return 0x7fc0;
  const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, value);
  return static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

/// The value of an IEEE binary16, subnormals, infinities and NaN included.
[[gnu::always_inline]] constexpr float f16_to_float(std::uint16_t bits) {
  const std::uint32_t sign = (bits & 0x8000U) << 16;
  const std::uint32_t magnitude = bits & 0x7fffU;
  // Exponents lie 112 apart (bias 127 and 15); the product is exact, for subnormals too.
  const float scaled = __builtin_bit_cast(float, magnitude << 13) * 0x1p112f;
  const std::uint32_t special = magnitude >= 0x7c00U ? 0x7f800000U : 0U;
  return __builtin_bit_cast(float, __builtin_bit_cast(std::uint32_t, scaled) | special | sign);
}

/// Rounds to nearest, ties to even; beyond 65504 + half a step infinity; NaN becomes a quiet NaN with its sign.
constexpr std::uint16_t float_to_f16(float value) {
  const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, value);
  const std::uint32_t sign = (bits >> 16) & 0x8000U;
  const std::uint32_t magnitude = bits & 0x7fffffffU;
  if (magnitude > 0x7f800000U) return static_cast<std::uint16_t>(sign | 0x7e00U);
  if (magnitude >= 0x47800000U) return static_cast<std::uint16_t>(sign | 0x7c00U);  // 2^16
  if (magnitude <
      0x38800000U) {  // below 2^-14: the unit in the last place of 0.5 is the subnormal step 2^-24
    const float shifted = __builtin_bit_cast(float, magnitude) + 0.5f;
    return static_cast<std::uint16_t>(sign |
                                      (__builtin_bit_cast(std::uint32_t, shifted) - 0x3f000000U));
  }
  const std::uint32_t rounded = magnitude + 0xfffU + ((magnitude >> 13) & 1U);
  return static_cast<std::uint16_t>(sign | ((rounded - 0x38000000U) >> 13));
}

}  // namespace ditq
