#include "quant/nvfp4.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <random>
#include <sstream>

#include <gtest/gtest.h>

#include "base/float.h"
#include "quant/fp8.h"
#include "support/paths.h"

namespace ditq::test {
namespace {

using Codes = std::vector<std::uint8_t>;

std::vector<std::string> lines_of(const std::string& name) {
  std::ifstream file(data("quant/" + name));
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with('#')) lines.push_back(line);
  }
  EXPECT_FALSE(lines.empty()) << name;
  return lines;
}

float float_of(const std::string& hex) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(std::stoul(hex, nullptr, 16)));
}

std::vector<float> floats_of(const std::string& line) {
  std::vector<float> values;
  std::istringstream text(line);
  for (std::string word; text >> word;) values.push_back(float_of(word));
  return values;
}

Codes bytes_of_hex(const std::string& hex) {
  Codes bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::uint8_t>(std::stoul(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

// The values in the memory form of a dtype; they are exact in it.
std::vector<std::byte> as_dtype(const std::vector<float>& values, Dtype dtype) {
  std::vector<std::byte> bytes(values.size() * bits(dtype) / 8);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint16_t half =
        dtype == Dtype::bf16 ? float_to_bf16(values[i]) : float_to_f16(values[i]);
    if (dtype == Dtype::f32) {
      std::memcpy(&bytes[4 * i], &values[i], 4);
    } else {
      std::memcpy(&bytes[2 * i], &half, 2);
    }
  }
  return bytes;
}

Codes random_bytes(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  Codes bytes(count);
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random());
  return bytes;
}

// An example of the vector file.
struct Example {
  std::string name;
  Dtype dtype;
  float amax = 0.0f;
  float global_scale = 0.0f;
  std::vector<float> input;
  Codes block_scales;
  Codes packed;
  std::vector<float> values;
};

std::vector<Example> examples() {
  std::vector<Example> all;
  const auto lines = lines_of("nvfp4_weights.txt");
  for (std::size_t i = 0; i + 4 < lines.size(); i += 5) {
    std::istringstream head(lines[i]);
    std::string name, dtype, rows, columns, amax, global_scale;
    head >> name >> dtype >> rows >> columns >> amax >> global_scale;
    all.push_back({.name = name,
                   .dtype = *parse_dtype(dtype),
                   .amax = float_of(amax),
                   .global_scale = float_of(global_scale),
                   .input = floats_of(lines[i + 1]),
                   .block_scales = bytes_of_hex(lines[i + 2]),
                   .packed = bytes_of_hex(lines[i + 3]),
                   .values = floats_of(lines[i + 4])});
  }
  return all;
}

TEST(E2m1, EncodesAsTheReferenceVectors) {
  for (const std::string& line : lines_of("e2m1_cast.txt")) {
    EXPECT_EQ(encode_e2m1(float_of(line.substr(0, 8))), std::stoul(line.substr(9), nullptr, 16))
        << line;
  }
  EXPECT_EQ(encode_e2m1(std::numeric_limits<float>::quiet_NaN()), 7);
  EXPECT_EQ(encode_e2m1(-std::numeric_limits<float>::quiet_NaN()), 7);
}

TEST(E2m1, EveryCodeButNegativeZeroSurvivesTheRoundTrip) {
  for (std::uint8_t code = 0; code < 16; ++code) {
    EXPECT_EQ(encode_e2m1(decode_e2m1(code)), code == 8 ? 0 : code);
    EXPECT_EQ(decode_e2m1(code), e2m1_values()[code]);
  }
  EXPECT_TRUE(std::signbit(decode_e2m1(8)));
}

TEST(Nvfp4Weight, QuantizesAsTheReferenceVectors) {
  ASSERT_EQ(examples().size(), 6u);
  for (const Example& example : examples()) {
    SCOPED_TRACE(example.name);
    EXPECT_EQ(nvfp4_global_scale(example.amax), example.global_scale);
    Codes packed(example.packed.size()), scales(example.block_scales.size());
    EXPECT_EQ(quantize_nvfp4(example.dtype, as_dtype(example.input, example.dtype),
                             example.global_scale, packed, scales),
              0u);
    EXPECT_EQ(packed, example.packed);
    EXPECT_EQ(scales, example.block_scales);
    // All dtypes are exact here, so that float32 gives the same.
    quantize_nvfp4(Dtype::f32, as_dtype(example.input, Dtype::f32), example.global_scale, packed,
                   scales);
    EXPECT_EQ(packed, example.packed);
  }
}

TEST(Nvfp4Weight, DequantizesAsTheReferenceVectors) {
  for (const Example& example : examples()) {
    SCOPED_TRACE(example.name);
    std::vector<float> values(example.values.size());
    dequantize_nvfp4(example.packed, example.block_scales, example.global_scale, values);
    EXPECT_EQ(values, example.values);
  }
}

TEST(Nvfp4Weight, AnAllZeroTensorHasNanScales) {
  const std::vector<std::byte> zeros(32 * 2);
  Codes packed(16), scales(2);
  EXPECT_EQ(quantize_nvfp4(Dtype::bf16, zeros, nvfp4_global_scale(0.0f), packed, scales), 2u);
  EXPECT_EQ(packed, Codes(16, 0x77));
  EXPECT_EQ(scales[0] & 0x7f, 0x7f);
}

TEST(Nvfp4Weight, ANanInABlockShowsInItsScale) {
  std::vector<float> input(32, 1.0f);
  input[3] = std::numeric_limits<float>::quiet_NaN();
  Codes packed(16), scales(2);
  EXPECT_EQ(quantize_nvfp4(Dtype::f32, as_dtype(input, Dtype::f32), 1.0f / 448.0f, packed, scales),
            1u);
  EXPECT_EQ(scales[0] & 0x7f, 0x7f);
  EXPECT_NE(scales[1] & 0x7f, 0x7f);
}

TEST(BlockScale, IsClampedAndNeverZero) {
  EXPECT_EQ(encode_block_scale(0.0f, 1.0f), 0x38);      // 1
  EXPECT_EQ(encode_block_scale(1e-9f, 1.0f), 0x01);     // 2^-9
  EXPECT_EQ(encode_block_scale(10000.0f, 1.0f), 0x7e);  // 448
  EXPECT_EQ(encode_block_scale(6.0f, 1.0f), 0x38);
}

TEST(Nvfp4Exactness, EveryProductOfCodeAndScaleFitsBfloat16) {
  for (unsigned scale = 0; scale < 256; ++scale) {
    if ((scale & 0x7fU) == 0x7fU) continue;
    Codes packed, scales = {static_cast<std::uint8_t>(scale)};
    for (unsigned code = 0; code < 16; code += 2) {
      packed.push_back(static_cast<std::uint8_t>(code | (code + 1) << 4));
    }
    std::vector<std::uint16_t> bf16(16);
    std::vector<float> f32(16);
    dequantize_nvfp4_to_bf16(packed, scales, bf16);
    dequantize_nvfp4(packed, scales, f32);
    for (std::size_t code = 0; code < 16; ++code) {
      const double exact =
          static_cast<double>(e2m1_values()[code]) * static_cast<double>(e4m3_values()[scale]);
      EXPECT_EQ(static_cast<double>(bf16_to_float(bf16[code])), exact) << scale << " " << code;
      EXPECT_EQ(static_cast<double>(f32[code]), exact) << scale << " " << code;
    }
  }
}

TEST(Nibbles, PackUnpackAndSwapAreInverse) {
  for (const std::size_t size : {0UL, 1UL, 7UL, 64UL, 1001UL}) {
    const Codes packed = random_bytes(size, 5);
    Codes codes(2 * size), again(size), swapped = packed;
    unpack_nibbles(packed, codes);
    pack_nibbles(codes, again);
    EXPECT_EQ(again, packed);
    swap_nibbles(swapped);
    Codes swapped_codes(2 * size);
    unpack_nibbles(swapped, swapped_codes);
    for (std::size_t i = 0; i < codes.size(); ++i) EXPECT_EQ(swapped_codes[i], codes[i ^ 1]);
    swap_nibbles(swapped);
    EXPECT_EQ(swapped, packed);
  }
  Codes first = {0xa1};
  swap_nibbles(first);
  EXPECT_EQ(first, Codes{0x1a});
}

TEST(Swizzle, PutsElementsWhereTheReferenceSays) {
  // 130 x 5, so 256 x 8. Source: ModelOpt reference 6.6.
  Codes linear(130 * 5, 0);
  const std::pair<std::size_t, std::size_t> places[] = {
      {0 * 5 + 4, 512}, {1 * 5, 16}, {32 * 5, 4}, {127 * 5 + 4, 1020}, {129 * 5 + 4, 1552}};
  std::uint8_t mark = 0;
  for (const auto& [from, to] : places) linear[from] = ++mark;
  const Codes swizzled = swizzle_scales(linear, 130, 5);
  ASSERT_EQ(swizzled.size(), 256u * 8u);
  mark = 0;
  for (const auto& [from, to] : places) EXPECT_EQ(swizzled[to], ++mark) << to;
}

TEST(Swizzle, EqualsThePermutedTensorView) {
  // [M/128, 4, 32, K/4, 4] permuted to [M/128, K/4, 32, 4, 4].
  constexpr std::size_t kRows = 384, kColumns = 12;
  const Codes linear = random_bytes(kRows * kColumns, 7);
  Codes expected;
  for (std::size_t tile = 0; tile < kRows / 128; ++tile)
    for (std::size_t group = 0; group < kColumns / 4; ++group)
      for (std::size_t row = 0; row < 32; ++row)
        for (std::size_t quarter = 0; quarter < 4; ++quarter)
          for (std::size_t column = 0; column < 4; ++column)
            expected.push_back(
                linear[(tile * 128 + quarter * 32 + row) * kColumns + group * 4 + column]);
  EXPECT_EQ(swizzle_scales(linear, kRows, kColumns), expected);
}

TEST(Swizzle, IsUndoneForAnyShapeAndPadsWithZero) {
  std::mt19937 random(11);
  std::vector<std::pair<std::size_t, std::size_t>> shapes = {{0, 0},   {1, 1},   {127, 3},
                                                             {128, 4}, {129, 5}, {256, 7}};
  for (int i = 0; i < 60; ++i) shapes.emplace_back(1 + random() % 400, 1 + random() % 40);
  for (const auto& [rows, columns] : shapes) {
    Codes linear = random_bytes(rows * columns, static_cast<unsigned>(rows * 41 + columns));
    for (std::uint8_t& byte : linear) byte |= 1;  // so that zeros are padding
    const Codes swizzled = swizzle_scales(linear, rows, columns);
    const auto zeros = std::count(swizzled.begin(), swizzled.end(), 0);
    EXPECT_EQ(static_cast<std::size_t>(zeros), swizzled.size() - linear.size());
    EXPECT_EQ(unswizzle_scales(swizzled, rows, columns), linear) << rows << "x" << columns;
  }
}

}  // namespace
}  // namespace ditq::test
