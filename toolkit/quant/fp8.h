#pragma once
// The 8-bit floating-point formats of OCP: E4M3 (e4m3fn: no infinities, largest 448, NaN 0x7f and 0xff) and E5M2.
// Single values first, then whole blocks at memory speed. Every path of a block function gives the same bytes.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/file.h"
#include "quant/arithmetic.h"

namespace ditq {

/// Largest finite E4M3 value; ModelOpt's scales are amax / 448.
inline constexpr float kE4m3Max = 448.0f;

/// E4M3 of a float: nearest, ties to even, without saturation: |x| <= 464 rounds, everything above and NaN becomes NaN
/// (0x7f, with the sign bit kept). What a PyTorch cast to float8_e4m3fn gives.
std::uint8_t encode_e4m3(float value);

/// The same after clamping to +-448; NaN becomes 0x7f. What run-time activations get, and CUDA's conversion.
std::uint8_t encode_e4m3_saturating(float value);

/// The value of an E4M3 code.
float decode_e4m3(std::uint8_t code);

/// E5M2 of a float: nearest, ties to even; 61440 and above become infinity (0x7c), NaN becomes 0x7f, signs kept. What a
/// PyTorch cast to float8_e5m2 gives.
std::uint8_t encode_e5m2(float value);

/// The value of an E5M2 code.
float decode_e5m2(std::uint8_t code);

/// All 256 values of E4M3, and of E5M2.
const std::array<float, 256>& e4m3_values();
const std::array<float, 256>& e5m2_values();

/// Quantizes a weight: codes[i] = encode_e4m3(float32(source[i]) / scale), one true division an element.
/// Shapes: source holds codes.size() elements of dtype f32, bf16 or f16, little endian, any alignment.
/// Returns the number of codes that are NaN.
std::size_t quantize_e4m3(Dtype dtype, Bytes source, float scale, std::span<std::uint8_t> codes);

/// Quantizes a weight as ModelOpt's HF export does: codes[i] = encode_e4m3(R(float32(source[i]) / divisor)), R the
/// rounding to the source's dtype. Shapes and return value: as quantize_e4m3.
/// Source: ModelOpt reference 5.3.
std::size_t quantize_e4m3_exported(Dtype dtype,
                                   Bytes source,
                                   float divisor,
                                   std::span<std::uint8_t> codes);

/// The scale of a tensor with this amax: amax / 448 as the device computes it.
float fp8_scale(float amax, Arithmetic arithmetic);

/// What quantize_e4m3_exported divides by, for a weight of this dtype: the scale, on CUDA rounded to the dtype first.
/// A binary16 scale may be zero or infinite where the float32 one is not.
float fp8_export_divisor(float scale, Dtype dtype, Arithmetic arithmetic);

/// Quantizes activations: codes[i] = encode_e4m3_saturating(float32(source[i]) * inverse_scale).
/// Shapes and return value: as quantize_e4m3.
std::size_t quantize_e4m3_saturating(Dtype dtype,
                                     Bytes source,
                                     float inverse_scale,
                                     std::span<std::uint8_t> codes);

/// values[i] = decode_e4m3(codes[i]) * scale, one float32 product an element.
void dequantize_e4m3(std::span<const std::uint8_t> codes, float scale, std::span<float> values);

/// The codes' values as bfloat16, which holds all of them exactly.
void decode_e4m3_to_bf16(std::span<const std::uint8_t> codes, std::span<std::uint16_t> values);

/// Names of the instruction sets that this machine can run the quantizers with; the first is what they use.
std::vector<std::string_view> fp8_instruction_sets();

/// Fixes the instruction set for all later calls, for tests that compare paths.
void use_fp8_instruction_set(std::string_view instruction_set);

}  // namespace ditq
