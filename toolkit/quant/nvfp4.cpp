// Source: OCP Microscaling Formats 1.0 for E2M1; NVIDIA ModelOpt 0.47 for the arithmetic of
// exports; NVIDIA cuBLAS "1D block scaling factors layout" for the 128x4 order.

#include "quant/nvfp4.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/float.h"
#include "quant/fp8.h"

namespace ditq {
namespace {

constexpr std::array<float, 16> kE2m1Values = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,
                                               4.0f,  6.0f,  -0.0f, -0.5f, -1.0f, -1.5f,
                                               -2.0f, -3.0f, -4.0f, -6.0f};

constexpr std::size_t kTileRows = 128;
constexpr std::size_t kTileColumns = 4;
constexpr std::size_t kTileBytes = kTileRows * kTileColumns;

// Counts the mid-points below the magnitude; those whose tie goes up count when reached.
// Comparisons are negated so that NaN passes all of them. Without branches: the loop over a block
// becomes vector code.
inline unsigned e2m1_bits(float value) {
  const float magnitude = std::fabs(value);
  const int ordinal =
      static_cast<int>(!(magnitude <= 0.25f)) + static_cast<int>(!(magnitude < 0.75f)) +
      static_cast<int>(!(magnitude <= 1.25f)) + static_cast<int>(!(magnitude < 1.75f)) +
      static_cast<int>(!(magnitude <= 2.5f)) + static_cast<int>(!(magnitude < 3.5f)) +
      static_cast<int>(!(magnitude <= 5.0f));
  return static_cast<unsigned>(ordinal) | (value < 0.0f ? 8U : 0U);
}

// One block of the source as float.
void read_block(Dtype dtype, const std::byte* source, float (&values)[kNvfp4Block]) {
  if (dtype == Dtype::f32) {
    std::memcpy(values, source, sizeof(values));
    return;
  }
  std::uint16_t bits[kNvfp4Block];
  std::memcpy(bits, source, sizeof(bits));
  for (std::size_t i = 0; i < kNvfp4Block; ++i) {
    values[i] = dtype == Dtype::bf16 ? bf16_to_float(bits[i]) : f16_to_float(bits[i]);
  }
}

// As integers magnitudes are ordered as the floats are, and NaN lies above all numbers.
float block_amax(const float (&values)[kNvfp4Block]) {
  std::uint32_t largest = 0;
  for (const float value : values) {
    largest = std::max(largest, std::bit_cast<std::uint32_t>(value) & 0x7fffffffU);
  }
  return std::bit_cast<float>(largest);
}

void check_shapes(std::size_t packed, std::size_t block_scales, std::size_t values) {
  DITQ_ASSERT(packed % (kNvfp4Block / 2) == 0 && block_scales == packed / (kNvfp4Block / 2));
  DITQ_ASSERT(values == 2 * packed);
}

// Calls put(position, element, block scale) for every element.
template <typename Put>
void for_each_element(std::span<const std::uint8_t> packed,
                      std::span<const std::uint8_t> block_scales,
                      const Put& put) {
  constexpr std::size_t kBytes = kNvfp4Block / 2;
  for (std::size_t block = 0; block < block_scales.size(); ++block) {
    const float scale = decode_e4m3(block_scales[block]);
    for (std::size_t i = block * kBytes; i < (block + 1) * kBytes; ++i) {
      put(2 * i, kE2m1Values[packed[i] & 15U], scale);
      put(2 * i + 1, kE2m1Values[packed[i] >> 4], scale);
    }
  }
}

std::size_t round_up(std::size_t value, std::size_t unit) {
  return (value + unit - 1) / unit * unit;
}

// Calls visit(linear offset, swizzled offset) for every element of a [rows, columns] matrix.
template <typename Visit>
void for_each_scale(std::size_t rows, std::size_t columns, const Visit& visit) {
  const std::size_t tiles_across = round_up(columns, kTileColumns) / kTileColumns;
  for (std::size_t row = 0; row < rows; ++row) {
    const std::size_t in_tile = row % kTileRows;
    const std::size_t start =
        row / kTileRows * tiles_across * kTileBytes + in_tile % 32 * 16 + in_tile / 32 * 4;
    for (std::size_t column = 0; column < columns; ++column) {
      visit(row * columns + column,
            start + column / kTileColumns * kTileBytes + column % kTileColumns);
    }
  }
}

}  // namespace

std::uint8_t encode_e2m1(float value) {
  return static_cast<std::uint8_t>(e2m1_bits(value));
}

float decode_e2m1(std::uint8_t code) {
  DITQ_ASSERT(code < kE2m1Values.size());
  return kE2m1Values[code];
}

const std::array<float, 16>& e2m1_values() {
  return kE2m1Values;
}

float nvfp4_global_scale(float amax) {
  return amax / (kE2m1Max * kE4m3Max);
}

std::uint8_t encode_block_scale(float block_amax, float global_scale) {
  const float divisor = kE2m1Max * global_scale;
  const float scale = block_amax / divisor;
  return encode_e4m3(scale == 0.0f ? 1.0f : std::clamp(scale, 0x1p-9f, kE4m3Max));
}

float nvfp4_global_scale(float amax, Arithmetic arithmetic) {
  return divide_by_number(amax, kE2m1Max * kE4m3Max, arithmetic);
}

std::size_t quantize_nvfp4(Dtype dtype,
                           Bytes source,
                           float global_scale,
                           std::span<std::uint8_t> packed,
                           std::span<std::uint8_t> block_scales) {
  return quantize_nvfp4(dtype, source, global_scale, kNvfp4Block, packed, block_scales);
}

std::size_t quantize_nvfp4(Dtype dtype,
                           Bytes source,
                           float global_scale,
                           std::size_t block,
                           std::span<std::uint8_t> packed,
                           std::span<std::uint8_t> block_scales) {
  const std::size_t nans = nvfp4_block_scales(dtype, source, global_scale, block, block_scales);
  const std::size_t width = bits(dtype) / 8;
  DITQ_ASSERT(source.size() / width == 2 * packed.size());
  float values[kNvfp4Block];
  std::uint8_t codes[kNvfp4Block];
  for (std::size_t part = 0; part < 2 * packed.size() / kNvfp4Block; ++part) {
    read_block(dtype, source.data() + part * kNvfp4Block * width, values);
    const float divisor = decode_e4m3(block_scales[part * kNvfp4Block / block]) * global_scale;
    for (std::size_t i = 0; i < kNvfp4Block; ++i) {
      codes[i] = static_cast<std::uint8_t>(e2m1_bits(values[i] / divisor));
    }
    pack_nibbles(codes, packed.subspan(part * kNvfp4Block / 2, kNvfp4Block / 2));
  }
  return nans;
}

std::size_t nvfp4_block_scales(Dtype dtype,
                               Bytes source,
                               float global_scale,
                               std::size_t block,
                               std::span<std::uint8_t> block_scales) {
  DITQ_ASSERT(dtype == Dtype::f32 || dtype == Dtype::bf16 || dtype == Dtype::f16);
  DITQ_ASSERT(block != 0 && block % kNvfp4Block == 0);
  const std::size_t width = bits(dtype) / 8;
  DITQ_ASSERT(source.size() == block_scales.size() * block * width);
  float values[kNvfp4Block];
  std::size_t nans = 0;
  for (std::size_t i = 0; i < block_scales.size(); ++i) {
    std::uint32_t largest = 0;
    for (std::size_t at = 0; at < block; at += kNvfp4Block) {
      read_block(dtype, source.data() + (i * block + at) * width, values);
      largest = std::max(largest, std::bit_cast<std::uint32_t>(block_amax(values)));
    }
    block_scales[i] = encode_block_scale(std::bit_cast<float>(largest), global_scale);
    nans += (block_scales[i] & 0x7fU) == 0x7fU ? 1 : 0;
  }
  return nans;
}

void dequantize_nvfp4_to_bf16(std::span<const std::uint8_t> packed,
                              std::span<const std::uint8_t> block_scales,
                              std::span<std::uint16_t> values) {
  check_shapes(packed.size(), block_scales.size(), values.size());
  for_each_element(packed, block_scales, [values](std::size_t at, float element, float scale) {
    values[at] = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(element * scale) >> 16);
  });
}

void dequantize_nvfp4(std::span<const std::uint8_t> packed,
                      std::span<const std::uint8_t> block_scales,
                      std::span<float> values) {
  dequantize_nvfp4(packed, block_scales, 1.0f, values);
}

void dequantize_nvfp4(std::span<const std::uint8_t> packed,
                      std::span<const std::uint8_t> block_scales,
                      float global_scale,
                      std::span<float> values) {
  check_shapes(packed.size(), block_scales.size(), values.size());
  for_each_element(packed, block_scales, [&](std::size_t at, float element, float scale) {
    values[at] = element * (scale * global_scale);
  });
}

void pack_nibbles(std::span<const std::uint8_t> codes, std::span<std::uint8_t> packed) {
  DITQ_ASSERT(codes.size() == 2 * packed.size());
  for (std::size_t i = 0; i < packed.size(); ++i) {
    packed[i] = static_cast<std::uint8_t>(codes[2 * i] | codes[2 * i + 1] << 4);
  }
}

void unpack_nibbles(std::span<const std::uint8_t> packed, std::span<std::uint8_t> codes) {
  DITQ_ASSERT(codes.size() == 2 * packed.size());
  for (std::size_t i = 0; i < packed.size(); ++i) {
    codes[2 * i] = packed[i] & 15U;
    codes[2 * i + 1] = packed[i] >> 4;
  }
}

void swap_nibbles(std::span<std::uint8_t> packed) {
  for (std::uint8_t& byte : packed) byte = std::rotl(byte, 4);
}

std::size_t swizzled_scales_size(std::size_t rows, std::size_t columns) {
  return round_up(rows, kTileRows) * round_up(columns, kTileColumns);
}

std::vector<std::uint8_t> swizzle_scales(std::span<const std::uint8_t> linear,
                                         std::size_t rows,
                                         std::size_t columns) {
  DITQ_ASSERT(linear.size() == rows * columns);
  std::vector<std::uint8_t> swizzled(swizzled_scales_size(rows, columns), 0);
  for_each_scale(rows, columns,
                 [&](std::size_t from, std::size_t to) { swizzled[to] = linear[from]; });
  return swizzled;
}

std::vector<std::uint8_t> unswizzle_scales(std::span<const std::uint8_t> swizzled,
                                           std::size_t rows,
                                           std::size_t columns) {
  DITQ_ASSERT(swizzled.size() == swizzled_scales_size(rows, columns));
  std::vector<std::uint8_t> linear(rows * columns);
  for_each_scale(rows, columns,
                 [&](std::size_t to, std::size_t from) { linear[to] = swizzled[from]; });
  return linear;
}

}  // namespace ditq
