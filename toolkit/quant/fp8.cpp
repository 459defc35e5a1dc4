// Source: OCP 8-bit Floating Point Specification 1.0; PyTorch c10/util/Float8_e4m3fn.h and Float8_e5m2.h @ 2.11.0 for
// the behaviour beyond the range.

#include "quant/fp8.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/error.h"
#include "base/float.h"
#include "quant/fp8_kernels.h"

namespace ditq {
namespace {

using fp8::Kernels;

// The value of a code with `mantissa_bits` of mantissa and the given exponent bias; NaN and infinity are the caller's.
constexpr float small_float(unsigned code, unsigned mantissa_bits, int bias) {
  const unsigned mantissa = code & ((1U << mantissa_bits) - 1U);
  const unsigned exponent = (code & 0x7fU) >> mantissa_bits;
  const unsigned significand = exponent == 0 ? mantissa : mantissa + (1U << mantissa_bits);
  const int power =
      static_cast<int>(exponent == 0 ? 1U : exponent) - bias - static_cast<int>(mantissa_bits);
  float value = static_cast<float>(significand);
  for (int i = 0; i < power; ++i) value *= 2.0f;
  for (int i = 0; i > power; --i) value *= 0.5f;
  return (code & 0x80U) != 0 ? -value : value;
}

constexpr float with_sign(std::uint32_t magnitude_bits, unsigned code) {
  return std::bit_cast<float>(magnitude_bits | ((code & 0x80U) << 24));
}

constexpr std::array<float, 256> make_e4m3_values() {
  std::array<float, 256> values{};
  for (unsigned code = 0; code < 256; ++code) {
    const bool nan = (code & 0x7fU) == 0x7fU;
    values[code] = nan ? with_sign(0x7fc00000U, code) : small_float(code, 3, 7);
  }
  return values;
}

constexpr std::array<float, 256> make_e5m2_values() {
  std::array<float, 256> values{};
  for (unsigned code = 0; code < 256; ++code) {
    const unsigned magnitude = code & 0x7fU;
    values[code] = magnitude > 0x7cU    ? with_sign(0x7fc00000U, code)
                   : magnitude == 0x7cU ? with_sign(0x7f800000U, code)
                                        : small_float(code, 2, 15);
  }
  return values;
}

constexpr std::array<float, 256> kE4m3Values = make_e4m3_values();
constexpr std::array<float, 256> kE5m2Values = make_e5m2_values();

std::vector<Kernels> runnable_kernels() {
  std::vector<Kernels> kernels;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bw") != 0) kernels.push_back(fp8::avx512_kernels());
  if (__builtin_cpu_supports("avx2") != 0) kernels.push_back(fp8::avx2_kernels());
#endif
  kernels.push_back(fp8::portable_kernels());
  return kernels;
}

Kernels& kernels_in_use() {
  static Kernels kernels = runnable_kernels().front();
  return kernels;
}

std::size_t run(const fp8::Kernel (&by_dtype)[3],
                Dtype dtype,
                Bytes source,
                float factor,
                std::span<std::uint8_t> codes) {
  DITQ_ASSERT(source.size() == codes.size() * bits(dtype) / 8);
  switch (dtype) {
    case Dtype::f32:
      return by_dtype[0](source.data(), factor, codes.data(), codes.size());
    case Dtype::bf16:
      return by_dtype[1](source.data(), factor, codes.data(), codes.size());
    case Dtype::f16:
      return by_dtype[2](source.data(), factor, codes.data(), codes.size());
    default:
      DITQ_ASSERT(!"a dtype that is quantized");
      return 0;
  }
}

}  // namespace

std::uint8_t encode_e4m3(float value) {
  return fp8::encode_e4m3_bits(value);
}

std::uint8_t encode_e4m3_saturating(float value) {
  return fp8::encode_e4m3_bits(fp8::clamp_to_e4m3(value));
}

float decode_e4m3(std::uint8_t code) {
  return kE4m3Values[code];
}
float decode_e5m2(std::uint8_t code) {
  return kE5m2Values[code];
}
const std::array<float, 256>& e4m3_values() {
  return kE4m3Values;
}
const std::array<float, 256>& e5m2_values() {
  return kE5m2Values;
}

std::uint8_t encode_e5m2(float value) {
  const std::uint32_t all = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (all >> 24) & 0x80U;
  const std::uint32_t magnitude = all & 0x7fffffffU;
  if (magnitude > 0x7f800000U) return static_cast<std::uint8_t>(sign | 0x7fU);
  if (magnitude >= 0x47800000U) return static_cast<std::uint8_t>(sign | 0x7cU);  // 2^16
  if (magnitude <
      0x38800000U) {  // below 2^-14: the unit in the last place of 2^7 is the subnormal step 2^-16
    const float shifted = std::bit_cast<float>(magnitude) + 0x1p7f;
    return static_cast<std::uint8_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x43000000U));
  }
  const std::uint32_t rounded = magnitude + 0xfffffU + ((magnitude >> 21) & 1U);
  return static_cast<std::uint8_t>(sign | ((rounded - 0x38000000U) >> 21));
}

std::size_t quantize_e4m3(Dtype dtype, Bytes source, float scale, std::span<std::uint8_t> codes) {
  return run(kernels_in_use().divide, dtype, source, scale, codes);
}

std::size_t quantize_e4m3_exported(Dtype dtype,
                                   Bytes source,
                                   float divisor,
                                   std::span<std::uint8_t> codes) {
  return run(kernels_in_use().divide_and_round, dtype, source, divisor, codes);
}

float fp8_scale(float amax, Arithmetic arithmetic) {
  return divide_by_number(amax, kE4m3Max, arithmetic);
}

float fp8_export_divisor(float scale, Dtype dtype, Arithmetic arithmetic) {
  if (arithmetic == Arithmetic::cpu || dtype == Dtype::f32) return scale;
  return dtype == Dtype::bf16 ? bf16_to_float(float_to_bf16(scale))
                              : f16_to_float(float_to_f16(scale));
}

std::size_t quantize_e4m3_saturating(Dtype dtype,
                                     Bytes source,
                                     float inverse_scale,
                                     std::span<std::uint8_t> codes) {
  return run(kernels_in_use().clamp, dtype, source, inverse_scale, codes);
}

void dequantize_e4m3(std::span<const std::uint8_t> codes, float scale, std::span<float> values) {
  DITQ_ASSERT(codes.size() == values.size());
  std::array<float, 256> table;
  std::transform(kE4m3Values.begin(), kE4m3Values.end(), table.begin(),
                 [scale](float value) { return value * scale; });
  for (std::size_t i = 0; i < codes.size(); ++i) values[i] = table[codes[i]];
}

void decode_e4m3_to_bf16(std::span<const std::uint8_t> codes, std::span<std::uint16_t> values) {
  DITQ_ASSERT(codes.size() == values.size());
  std::array<std::uint16_t, 256> table;
  for (std::size_t code = 0; code < table.size(); ++code) {
    table[code] = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(kE4m3Values[code]) >> 16);
  }
  for (std::size_t i = 0; i < codes.size(); ++i) values[i] = table[codes[i]];
}

std::vector<std::string_view> fp8_instruction_sets() {
  std::vector<std::string_view> names;
  for (const Kernels& kernels : runnable_kernels()) names.push_back(kernels.instruction_set);
  return names;
}

void use_fp8_instruction_set(std::string_view instruction_set) {
  for (const Kernels& kernels : runnable_kernels()) {
    if (kernels.instruction_set == instruction_set) {
      kernels_in_use() = kernels;
      return;
    }
  }
  DITQ_ASSERT(!"an instruction set that this machine has");
}

}  // namespace ditq
