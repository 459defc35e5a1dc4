#pragma once
// Rounding to the small floats of NVFP4 in vector code, by float additions.

#include <bit>
#include <cstdint>

namespace ditq {

/// Adding and subtracting 1.5 · 2^23 quanta rounds to a multiple of the quantum, ties to even. `floor`: the least
/// exponent that has its own quanta; `shift`: 23 less the mantissa bits.
template <std::uint32_t floor, std::uint32_t shift>
inline float nearest(float value) {
  const std::uint32_t exponent = (std::bit_cast<std::uint32_t>(value) >> 23) & 0xFF;
  const std::uint32_t bounded = exponent < floor ? floor : exponent;
  const auto magic = std::bit_cast<float>((bounded + shift) << 23 | 0x400000);
  return (value + magic) - magic;
}

/// The E4M3 value next to one in [0, 448].
inline float nearest_e4m3(float value) {
  return nearest<121, 20>(value);
}

/// The E2M1 value next to one in [0, 6].
inline float nearest_e2m1(float value) {
  return nearest<127, 22>(value);
}

}  // namespace ditq
