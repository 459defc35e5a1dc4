#pragma once
// Plain loops that the compiler turns into vector code for several instruction sets, and bf16 without torch's class.

#include <bit>
#include <cstdint>

namespace ditq {

/// One clone of a function for each level of x86-64, chosen when the library is loaded. IEEE arithmetic throughout.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define DITQ_VECTOR_CLONES \
  __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define DITQ_VECTOR_CLONES
#endif

/// A bf16 value as its bits: loops over at::BFloat16 do not vectorise.
struct BFloat16Bits {
  std::uint16_t bits;
};

inline float load_float(const float* from) {
  return *from;
}
inline float load_float(const BFloat16Bits* from) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(from->bits) << 16);
}

/// Round to nearest even; NaN stays NaN.
inline BFloat16Bits round_to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
  const std::uint32_t nan = (bits >> 16) | 0x40;
  return {static_cast<std::uint16_t>((bits & 0x7FFFFFFF) > 0x7F800000 ? nan : rounded)};
}

inline void store_rounded(float* to, float value) {
  *to = value;
}
inline void store_rounded(BFloat16Bits* to, float value) {
  *to = round_to_bf16(value);
}

/// What a value becomes when it passes through a tensor of type T.
template <typename T>
inline float rounded(float value);
template <>
inline float rounded<float>(float value) {
  return value;
}
template <>
inline float rounded<BFloat16Bits>(float value) {
  const BFloat16Bits bits = round_to_bf16(value);
  return load_float(&bits);
}

/// Partial sums that a reduction keeps apart, so that it vectorises without reordering float additions freely.
inline constexpr std::int64_t kLanes = 16;

/// Calls visit(i, i % kLanes) for i in [0, size).
template <typename Visit>
inline __attribute__((always_inline)) void for_lanes(std::int64_t size, const Visit& visit) {
  std::int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    for (std::int64_t lane = 0; lane < kLanes; ++lane) visit(i + lane, lane);
  }
  for (std::int64_t lane = 0; i < size; ++i, ++lane) visit(i, lane);
}

/// Adds the partial sums as a balanced tree.
inline float sum_lanes(const float* sums) {
  float tree[kLanes];
  for (std::int64_t i = 0; i < kLanes; ++i) tree[i] = sums[i];
  for (std::int64_t width = kLanes / 2; width > 0; width /= 2) {
    for (std::int64_t i = 0; i < width; ++i) tree[i] += tree[i + width];
  }
  return tree[0];
}

}  // namespace ditq
