#pragma once
// Overflow-safe arithmetic for sizes that come from files.

#include <cstdint>
#include <optional>
#include <span>

namespace ditq {

/// a * b, or nothing when it does not fit.
inline std::optional<std::uint64_t> checked_mul(std::uint64_t a, std::uint64_t b) {
  std::uint64_t out = 0;
  if (__builtin_mul_overflow(a, b, &out)) return std::nullopt;
  return out;
}

/// a + b, or nothing when it does not fit.
inline std::optional<std::uint64_t> checked_add(std::uint64_t a, std::uint64_t b) {
  std::uint64_t out = 0;
  if (__builtin_add_overflow(a, b, &out)) return std::nullopt;
  return out;
}

/// Product of all extents (1 for a scalar), or nothing when it does not fit.
inline std::optional<std::uint64_t> element_count(std::span<const std::int64_t> shape) {
  std::uint64_t count = 1;
  for (const std::int64_t extent : shape) {
    if (extent < 0) return std::nullopt;
    const auto product = checked_mul(count, static_cast<std::uint64_t>(extent));
    if (!product) return std::nullopt;
    count = *product;
  }
  return count;
}

}  // namespace ditq
