#include "quant/fp8.h"

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
#include "support/paths.h"

namespace ditq::test {
namespace {

// Lines of a vector file without its comment.
std::vector<std::string> lines_of(const std::string& name) {
  std::ifstream file(data("quant/" + name));
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with('#')) lines.push_back(line);
  }
  EXPECT_FALSE(lines.empty()) << name;
  return lines;
}

std::uint32_t from_hex(const std::string& text) {
  return static_cast<std::uint32_t>(std::stoul(text, nullptr, 16));
}

// Nearest value of a table by search, ties to the even code: independent of the encoders' arithmetic.
std::uint8_t nearest_code(float value,
                          const std::array<float, 256>& values,
                          std::uint8_t last_finite) {
  const double magnitude = std::fabs(static_cast<double>(value));
  std::uint8_t best = 0;
  double distance = std::numeric_limits<double>::infinity();
  for (unsigned code = 0; code <= last_finite; ++code) {
    const double off = std::fabs(magnitude - static_cast<double>(values[code]));
    if (off < distance || (off == distance && code % 2 == 0)) {
      best = static_cast<std::uint8_t>(code);
      distance = off;
    }
  }
  return static_cast<std::uint8_t>(best | (std::signbit(value) ? 0x80 : 0));
}

std::vector<float> interesting_floats() {
  std::vector<float> values;
  for (const std::string& line : lines_of("e4m3_cast.txt")) {
    values.push_back(std::bit_cast<float>(from_hex(line.substr(0, 8))));
  }
  std::mt19937 random(17);
  std::uniform_real_distribution<float> exponent(-13.0f, 10.0f);
  for (int i = 0; i < 5000; ++i) {
    const float value = std::exp2(exponent(random));
    values.push_back(i % 2 == 0 ? value : -value);
  }
  return values;
}

TEST(E4m3, EncodesAsTheReferenceVectors) {
  for (const std::string& line : lines_of("e4m3_cast.txt")) {
    std::istringstream text(line);
    std::string bits, code, saturated;
    text >> bits >> code >> saturated;
    const float value = std::bit_cast<float>(from_hex(bits));
    EXPECT_EQ(encode_e4m3(value), from_hex(code)) << bits;
    EXPECT_EQ(encode_e4m3_saturating(value), from_hex(saturated)) << bits;
  }
}

TEST(E4m3, DecodesAsTheReferenceVectors) {
  const auto lines = lines_of("e4m3_decode.txt");
  ASSERT_EQ(lines.size(), 256u);
  for (const std::string& line : lines) {
    const auto code = static_cast<std::uint8_t>(from_hex(line.substr(0, 2)));
    EXPECT_EQ(std::bit_cast<std::uint32_t>(decode_e4m3(code)), from_hex(line.substr(3))) << line;
    EXPECT_EQ(std::bit_cast<std::uint32_t>(e4m3_values()[code]), from_hex(line.substr(3))) << line;
  }
}

TEST(E4m3, EncodesToTheNearestValueWithTiesToEven) {
  for (const float value : interesting_floats()) {
    if (!(std::fabs(value) <= 464.0f)) continue;
    EXPECT_EQ(encode_e4m3(value), nearest_code(value, e4m3_values(), 0x7e)) << value;
  }
}

TEST(E4m3, EveryCodeSurvivesTheRoundTrip) {
  for (unsigned code = 0; code < 256; ++code) {
    EXPECT_EQ(encode_e4m3(decode_e4m3(static_cast<std::uint8_t>(code))), code);
  }
}

TEST(E5m2, CastsAsPyTorch) {
  for (const std::string& line : lines_of("torch_casts.txt")) {
    std::istringstream text(line);
    std::string bits, e5m2;
    text >> bits >> e5m2;
    EXPECT_EQ(encode_e5m2(std::bit_cast<float>(from_hex(bits))), from_hex(e5m2)) << bits;
  }
}

TEST(E5m2, EncodesToTheNearestValueWithTiesToEven) {
  for (const float value : interesting_floats()) {
    if (!(std::fabs(value) < 61440.0f)) continue;
    EXPECT_EQ(encode_e5m2(value), nearest_code(value, e5m2_values(), 0x7b)) << value;
  }
  EXPECT_EQ(decode_e5m2(0x7c), std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(decode_e5m2(0x7d)));
}

TEST(SixteenBits, CastsAsPyTorch) {
  for (const std::string& line : lines_of("torch_casts.txt")) {
    std::istringstream text(line);
    std::string bits, e5m2, bf16, f16;
    text >> bits >> e5m2 >> bf16 >> f16;
    const float value = std::bit_cast<float>(from_hex(bits));
    if (std::isnan(value)) {  // which NaN differs between PyTorch's scalar and vector code
      EXPECT_TRUE(std::isnan(bf16_to_float(float_to_bf16(value)))) << bits;
      EXPECT_TRUE(std::isnan(f16_to_float(float_to_f16(value)))) << bits;
      continue;
    }
    EXPECT_EQ(float_to_bf16(value), from_hex(bf16)) << bits;
    EXPECT_EQ(float_to_f16(value), from_hex(f16)) << bits;
  }
}

TEST(SixteenBits, EveryF16SurvivesTheRoundTrip) {
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const float value = f16_to_float(static_cast<std::uint16_t>(bits));
    if (std::isnan(value)) continue;
    ASSERT_EQ(float_to_f16(value), bits);
    ASSERT_EQ(float_to_bf16(bf16_to_float(static_cast<std::uint16_t>(bits))),
              bits >= 0x7f81 && (bits & 0x7fff) > 0x7f80 ? 0x7fc0 : bits);
  }
}

// The source of a block test in one of the three dtypes, and its values as float32.
struct Source {
  Dtype dtype;
  std::vector<std::byte> bytes;
  std::vector<float> values;
};

Source source_of(Dtype dtype, const std::vector<float>& values) {
  Source source{.dtype = dtype, .bytes = {}, .values = values};
  std::vector<std::uint16_t> halves;
  for (float& value : source.values) {
    if (dtype == Dtype::f32) continue;
    const std::uint16_t half = dtype == Dtype::bf16 ? float_to_bf16(value) : float_to_f16(value);
    value = dtype == Dtype::bf16 ? bf16_to_float(half) : f16_to_float(half);
    halves.push_back(half);
  }
  const auto raw = dtype == Dtype::f32 ? std::as_bytes(std::span(source.values))
                                       : std::as_bytes(std::span(halves));
  source.bytes.assign(raw.begin(), raw.end());
  return source;
}

class EveryInstructionSet : public testing::TestWithParam<std::string_view> {
 protected:
  EveryInstructionSet() { use_fp8_instruction_set(GetParam()); }
  ~EveryInstructionSet() override { use_fp8_instruction_set(fp8_instruction_sets().front()); }
};

TEST_P(EveryInstructionSet, QuantizesBlocksAsSingleValues) {
  const float scale = 0.37f;
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16, Dtype::f16}) {
    const Source source = source_of(dtype, interesting_floats());
    std::vector<std::uint8_t> codes(source.values.size());
    std::vector<std::uint8_t> saturated(source.values.size());
    const std::size_t nans = quantize_e4m3(dtype, source.bytes, scale, codes);
    quantize_e4m3_saturating(dtype, source.bytes, scale, saturated);
    std::size_t expected_nans = 0;
    for (std::size_t i = 0; i < codes.size(); ++i) {
      ASSERT_EQ(codes[i], encode_e4m3(source.values[i] / scale)) << source.values[i];
      ASSERT_EQ(saturated[i], encode_e4m3_saturating(source.values[i] * scale)) << source.values[i];
      expected_nans += (codes[i] & 0x7f) == 0x7f ? 1 : 0;
    }
    EXPECT_EQ(nans, expected_nans);
    EXPECT_GT(nans, 0u);
  }
}

TEST_P(EveryInstructionSet, WritesExactlyTheGivenLength) {
  const Source source = source_of(Dtype::bf16, interesting_floats());
  for (const std::size_t length : {std::size_t{0}, std::size_t{1}, std::size_t{15},
                                   std::size_t{255}, std::size_t{257}, std::size_t{600}}) {
    std::vector<std::uint8_t> codes(length + 8, 0xaa);
    quantize_e4m3(Dtype::bf16, Bytes(source.bytes).first(length * 2), 1.0f,
                  std::span(codes).first(length));
    for (std::size_t i = 0; i < length; ++i) ASSERT_EQ(codes[i], encode_e4m3(source.values[i]));
    for (std::size_t i = length; i < codes.size(); ++i) ASSERT_EQ(codes[i], 0xaa);
  }
}

TEST_P(EveryInstructionSet, GivesTheReferenceWeights) {
  const auto lines = lines_of("e4m3_weights.txt");
  for (std::size_t i = 0; i + 3 < lines.size(); i += 4) {
    const std::string spelling = lines[i].substr(lines[i].find(' ') + 1);
    std::vector<float> values;
    std::istringstream text(lines[i + 2]);
    for (std::string word; text >> word;) values.push_back(std::bit_cast<float>(from_hex(word)));
    const Source source = source_of(*parse_dtype(spelling), values);
    std::vector<std::uint8_t> codes(values.size());
    quantize_e4m3(source.dtype, source.bytes, std::bit_cast<float>(from_hex(lines[i + 1])), codes);
    for (std::size_t j = 0; j < codes.size(); ++j) {
      EXPECT_EQ(codes[j], from_hex(lines[i + 3].substr(2 * j, 2))) << lines[i] << " element " << j;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Fp8,
                         EveryInstructionSet,
                         testing::ValuesIn(fp8_instruction_sets()),
                         [](const auto& info) { return std::string(info.param); });

TEST(E4m3Blocks, DequantizeIsOneProduct) {
  std::vector<std::uint8_t> codes(256);
  for (unsigned code = 0; code < 256; ++code) codes[code] = static_cast<std::uint8_t>(code);
  std::vector<float> values(256);
  std::vector<std::uint16_t> halves(256);
  dequantize_e4m3(codes, 0.3f, values);
  decode_e4m3_to_bf16(codes, halves);
  for (unsigned code = 0; code < 256; ++code) {
    const float exact = decode_e4m3(codes[code]);
    if (std::isnan(exact)) {
      EXPECT_TRUE(std::isnan(values[code]));
      EXPECT_TRUE(std::isnan(bf16_to_float(halves[code])));
      continue;
    }
    EXPECT_EQ(values[code], exact * 0.3f);
    EXPECT_EQ(bf16_to_float(halves[code]),
              exact);  // exact: 4 significant bits fit the 8 of bfloat16
  }
}

}  // namespace
}  // namespace ditq::test
