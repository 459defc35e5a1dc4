#pragma once
// NVFP4: E2M1 elements, two to a byte, in blocks of 16 along a row; one E4M3 scale a block; one
// float32 scale a tensor. The one form that ditq computes with is: even column in the low nibble,
// block scales row by row ("linear"). The other forms that checkpoints and kernels have are made
// and undone here. Formats and sources: docs/formats/nvfp4.md.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/dtype.h"
#include "base/file.h"
#include "quant/arithmetic.h"

namespace ditq {

/// Columns that share a block scale.
inline constexpr std::size_t kNvfp4Block = 16;
/// Largest E2M1 magnitude.
inline constexpr float kE2m1Max = 6.0f;

/// E2M1 of a float, 0 … 15: nearest, ties to the even code, magnitudes above 5 become 6. The sign
/// bit (8) is set for values below zero only, so -0 is 0; NaN is 7. Source: ModelOpt reference 5.5.
std::uint8_t encode_e2m1(float value);

/// The value of a code 0 … 15; code 8 is -0.
float decode_e2m1(std::uint8_t code);

/// All 16 values of E2M1.
const std::array<float, 16>& e2m1_values();

/// float32(amax) / 2688, one true division: the scale of a tensor, and of activations. Source:
/// ModelOpt reference 5.6.
float nvfp4_global_scale(float amax);

/// The same as the device computes it. Source: ModelOpt reference 5.2.
float nvfp4_global_scale(float amax, Arithmetic arithmetic);

/// The E4M3 code of a block's scale: block_amax / (6 * global_scale), zero read as one, clamped to
/// [2^-9, 448]. NaN gives a NaN code. decode_e4m3 (quant/fp8.h) is its inverse. Source: ModelOpt
/// reference 5.6, step 3.
std::uint8_t encode_block_scale(float block_amax, float global_scale);

/// Quantizes a weight of whole blocks as ModelOpt exports it, byte for byte.
/// Shapes: source holds 2 * packed.size() elements of dtype f32, bf16 or f16, little endian, any
/// alignment, a multiple of 16; block_scales holds one code per 16 of them. Rows of a matrix follow
/// each other, since rows are whole blocks.
/// Returns the number of block scales that are NaN: a zero or NaN global_scale, or NaN in the
/// source.
std::size_t quantize_nvfp4(Dtype dtype,
                           Bytes source,
                           float global_scale,
                           std::span<std::uint8_t> packed,
                           std::span<std::uint8_t> block_scales);

/// The same with a scale for every `block` elements, a multiple of 16; block_scales holds one code
/// for each of them. No kernel of ours reads other blocks than 16: ModelOpt's --block-size writes
/// them.
std::size_t quantize_nvfp4(Dtype dtype,
                           Bytes source,
                           float global_scale,
                           std::size_t block,
                           std::span<std::uint8_t> packed,
                           std::span<std::uint8_t> block_scales);

/// The block scales alone. Shapes and return value: as quantize_nvfp4.
std::size_t nvfp4_block_scales(Dtype dtype,
                               Bytes source,
                               float global_scale,
                               std::size_t block,
                               std::span<std::uint8_t> block_scales);

/// The product of every element and its block scale as bfloat16, which holds it exactly: six
/// significant bits, at most 2688. The global scale stays apart.
/// Shapes: as quantize_nvfp4; values holds 2 * packed.size().
void dequantize_nvfp4_to_bf16(std::span<const std::uint8_t> packed,
                              std::span<const std::uint8_t> block_scales,
                              std::span<std::uint16_t> values);

/// The same products as float32, without rounding.
void dequantize_nvfp4(std::span<const std::uint8_t> packed,
                      std::span<const std::uint8_t> block_scales,
                      std::span<float> values);

/// The weight's values: element * float32(block scale * global_scale), two float32 roundings, as
/// ModelOpt dequantizes.
void dequantize_nvfp4(std::span<const std::uint8_t> packed,
                      std::span<const std::uint8_t> block_scales,
                      float global_scale,
                      std::span<float> values);

/// Two codes a byte: packed[i] = codes[2i] | codes[2i+1] << 4. Shapes: codes holds 2 *
/// packed.size() codes below 16.
void pack_nibbles(std::span<const std::uint8_t> codes, std::span<std::uint8_t> packed);

/// The inverse of pack_nibbles.
void unpack_nibbles(std::span<const std::uint8_t> packed, std::span<std::uint8_t> codes);

/// Exchanges the halves of every byte: between low-nibble-first and high-nibble-first order. Its
/// own inverse.
void swap_nibbles(std::span<std::uint8_t> packed);

/// Bytes of a [rows, columns] scale matrix in the 128x4 layout: rows padded to 128, columns to 4.
std::size_t swizzled_scales_size(std::size_t rows, std::size_t columns);

/// A scale matrix in the 128x4 layout of Blackwell's matrix units, padding zero.
/// Shapes: linear [rows, columns] row by row; returns swizzled_scales_size(rows, columns) bytes.
/// Source: SGLang bridge reference 1.7.
std::vector<std::uint8_t> swizzle_scales(std::span<const std::uint8_t> linear,
                                         std::size_t rows,
                                         std::size_t columns);

/// The inverse of swizzle_scales; padding is dropped, whatever it holds.
std::vector<std::uint8_t> unswizzle_scales(std::span<const std::uint8_t> swizzled,
                                           std::size_t rows,
                                           std::size_t columns);

}  // namespace ditq
