#include "convert/random_tensor.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/float.h"
#include "quant/fp8.h"

namespace ditq {
namespace {

constexpr std::size_t kRanks = 65536;
constexpr std::size_t kPerWord = 4;

/// Source: Steele, Lea, Flood 2014 (SplitMix64's output function).
std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

/// FNV-1a of the name.
std::uint64_t hash(const std::string& name) {
  std::uint64_t value = 0xCBF29CE484222325ULL;
  for (const char c : name) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  return value;
}

/// Upper half of the quantiles by bisection of erfc: exact to the last bits of f32 on every machine with IEEE doubles.
float quantile(std::size_t rank) {
  const double tail = 1.0 - (static_cast<double>(rank) + 0.5) / static_cast<double>(kRanks);
  double low = 0;
  double high = 8;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (0.5 * std::erfc(middle / std::sqrt(2.0)) > tail ? low : high) = middle;
  }
  return static_cast<float>(low);
}

std::vector<float> make_quantiles() {
  std::vector<float> out(kRanks);
  for (std::size_t rank = kRanks / 2; rank < kRanks; ++rank) {
    out[rank] = quantile(rank);
    out[kRanks - 1 - rank] = -out[rank];
  }
  return out;
}

std::vector<std::uint8_t> make_codes() {
  std::vector<std::uint8_t> out(kRanks);
  const float factor = kE4m3Max / largest_quantile();
  std::transform(normal_quantiles().begin(), normal_quantiles().end(), out.begin(),
                 [&](float value) { return encode_e4m3_saturating(value * factor); });
  return out;
}

/// Ranks in pieces that stay in the L1 cache; visit(offset into out, ranks).
template <typename Visit>
void for_pieces(const RandomTensor& random,
                std::uint64_t begin,
                std::size_t count,
                const Visit& visit) {
  std::array<std::uint16_t, 4096> ranks;
  for (std::size_t at = 0; at < count; at += ranks.size()) {
    const std::span<std::uint16_t> piece(ranks.data(), std::min(ranks.size(), count - at));
    random.ranks(begin + at, piece);
    visit(at, piece);
  }
}

}  // namespace

RandomTensor::RandomTensor(std::uint64_t seed, const std::string& name)
    : base_(mix(seed + 0x9E3779B97F4A7C15ULL) ^ hash(name)) {}

void RandomTensor::ranks(std::uint64_t begin, std::span<std::uint16_t> out) const {
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (i % kPerWord == 0) {
      word = mix(base_ + (begin + i) / kPerWord * 0x9E3779B97F4A7C15ULL);
    }
    out[i] = static_cast<std::uint16_t>(word >> (16 * (i % kPerWord)));
  }
}

const std::vector<float>& normal_quantiles() {
  static const std::vector<float> quantiles = make_quantiles();
  return quantiles;
}

float largest_quantile() {
  return normal_quantiles().back();
}

void normal_bf16(const RandomTensor& random,
                 std::uint64_t begin,
                 float mean,
                 float deviation,
                 std::span<std::uint16_t> out) {
  const std::vector<float>& quantiles = normal_quantiles();
  for_pieces(random, begin, out.size(), [&](std::size_t at, std::span<const std::uint16_t> ranks) {
    for (std::size_t i = 0; i < ranks.size(); ++i) {
      out[at + i] = float_to_bf16(mean + deviation * quantiles[ranks[i]]);
    }
  });
}

void normal_e4m3(const RandomTensor& random, std::uint64_t begin, std::span<std::uint8_t> out) {
  static const std::vector<std::uint8_t> codes = make_codes();
  for_pieces(random, begin, out.size(), [&](std::size_t at, std::span<const std::uint16_t> ranks) {
    for (std::size_t i = 0; i < ranks.size(); ++i) out[at + i] = codes[ranks[i]];
  });
}

}  // namespace ditq
