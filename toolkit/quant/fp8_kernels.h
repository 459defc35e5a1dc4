#pragma once
// Block quantizers to E4M3, written once as plain loops and compiled once for each instruction set; each translation
// unit that includes fp8_kernels.inc.h holds one copy. Only integer operations, one IEEE division or product and one
// IEEE addition touch a value, so all copies give the same bytes. Helpers are always inlined: an out-of-line copy could
// carry instructions into the program that only one of the units may use.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ditq::fp8 {

/// E4M3 code of a float, not saturating. Branch-free, so that loops over it become vector code.
[[gnu::always_inline]] constexpr std::uint8_t encode_e4m3_bits(float value) {
  const std::uint32_t all = __builtin_bit_cast(std::uint32_t, value);
  const std::uint32_t magnitude = all & 0x7fffffffU;
  const std::uint32_t sign = (all >> 24) & 0x80U;
  // Below 2^-6 the step is 2^-9, the unit in the last place of 2^14: the addition rounds to nearest, ties to even.
  const float shifted = __builtin_bit_cast(float, magnitude) + 0x1p14f;
  const std::uint32_t subnormal = __builtin_bit_cast(std::uint32_t, shifted) - 0x46800000U;
  // Above, 20 mantissa bits go: half a step less one, plus the lowest bit that stays. Biases are 127 and 7.
  const std::uint32_t normal =
      (magnitude + 0x7ffffU + ((magnitude >> 20) & 1U) - (120U << 23)) >> 20;
  std::uint32_t code = magnitude < 0x3c800000U ? subnormal : normal;
  code = magnitude > 0x43e80000U ? 0x7fU : code;  // 464, the tie between 448 and what would be 480
  return static_cast<std::uint8_t>(code | sign);
}

/// The value clamped to +-448; NaN becomes the positive NaN.
[[gnu::always_inline]] constexpr float clamp_to_e4m3(float value) {
  const std::uint32_t all = __builtin_bit_cast(std::uint32_t, value);
  const std::uint32_t magnitude = all & 0x7fffffffU;
  const std::uint32_t clamped = magnitude < 0x43e00000U ? magnitude : 0x43e00000U;  // 448
  const std::uint32_t number = (all & 0x80000000U) | clamped;
  return __builtin_bit_cast(float, magnitude > 0x7f800000U ? 0x7fc00000U : number);
}

/// The nearest bfloat16, ties to even; a NaN stays one. Branch-free, as round_to_f16.
[[gnu::always_inline]] constexpr float round_to_bf16(float value) {
  const std::uint32_t all = __builtin_bit_cast(std::uint32_t, value);
  const std::uint32_t rounded = (all + 0x7fffU + ((all >> 16) & 1U)) & 0xffff0000U;
  return __builtin_bit_cast(float, (all & 0x7fffffffU) > 0x7f800000U ? all : rounded);
}

/// The nearest binary16 of a magnitude below 65520, ties to even; larger ones stay beyond E4M3's range, NaN stays NaN.
[[gnu::always_inline]] constexpr float round_to_f16(float value) {
  const std::uint32_t all = __builtin_bit_cast(std::uint32_t, value);
  const std::uint32_t magnitude = all & 0x7fffffffU;
  // Below 2^-14 the step is 2^-24, the unit in the last place of 0.5; above, 13 mantissa bits go.
  const float shifted = (__builtin_bit_cast(float, magnitude) + 0.5f) - 0.5f;
  const std::uint32_t normal = (magnitude + 0xfffU + ((magnitude >> 13) & 1U)) & ~0x1fffU;
  std::uint32_t rounded =
      magnitude < 0x38800000U ? __builtin_bit_cast(std::uint32_t, shifted) : normal;
  rounded = magnitude > 0x7f800000U ? magnitude : rounded;
  return __builtin_bit_cast(float, rounded | (all & 0x80000000U));
}

/// Reads `count` elements at `source`, writes as many codes and returns how many of them are NaN. `factor` is the scale
/// to divide by, or the inverse scale to multiply with.
using Kernel = std::size_t (*)(const void* source,
                               float factor,
                               std::uint8_t* codes,
                               std::size_t count);

/// One copy of all kernels, by source dtype: f32, bf16, f16.
struct Kernels {
  std::string_view instruction_set;
  Kernel divide[3];
  Kernel divide_and_round[3];  ///< the quotient rounded to the source's dtype before it is encoded
  Kernel clamp[3];
};

Kernels portable_kernels();
#if defined(__x86_64__)
Kernels avx2_kernels();
Kernels avx512_kernels();
#endif

}  // namespace ditq::fp8
