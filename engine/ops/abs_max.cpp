#include "ops/abs_max.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include "base/error.h"
#include "ops/vector.h"

namespace ditq {
namespace {

/// Elements that one thread looks at before it takes the next piece.
constexpr std::int64_t kPiece = 16384;

/// Magnitudes compare as integers: infinity lies above all numbers, NaN above infinity.
template <typename Bits>
DITQ_VECTOR_CLONES Bits largest_magnitude(const Bits* from, std::int64_t size) {
  constexpr auto kMask = static_cast<Bits>(std::numeric_limits<Bits>::max() >> 1);
  Bits largest = 0;
  for (std::int64_t i = 0; i < size; ++i) {
    const auto magnitude = static_cast<Bits>(from[i] & kMask);
    largest = magnitude > largest ? magnitude : largest;
  }
  return largest;
}

/// A tensor as runs of neighbouring elements.
struct Runs {
  std::int64_t length = 1;  ///< elements of a run
  std::vector<std::int64_t> sizes;
  std::vector<std::int64_t> strides;
  std::int64_t count = 1;

  explicit Runs(const Tensor& x) {
    std::int64_t dim = x.dim() - 1;
    for (; dim >= 0 && (x.size(dim) == 1 || x.stride(dim) == length); --dim) length *= x.size(dim);
    for (; dim >= 0; --dim) {
      sizes.push_back(x.size(dim));
      strides.push_back(x.stride(dim));
      count *= x.size(dim);
    }
  }

  /// Where a run begins, in elements.
  std::int64_t offset(std::int64_t run) const {
    std::int64_t out = 0;
    for (std::size_t dim = 0; dim < sizes.size(); ++dim) {
      out += run % sizes[dim] * strides[dim];
      run /= sizes[dim];
    }
    return out;
  }
};

template <typename Bits>
Tensor cpu_abs_max(const Tensor& x) {
  const Runs runs(x);
  const std::int64_t pieces = (runs.length + kPiece - 1) / kPiece;
  const auto* source = static_cast<const Bits*>(x.const_data_ptr());
  std::atomic<Bits> largest = 0;
  const std::int64_t grain = std::max<std::int64_t>(1, kPiece / runs.length);
  at::parallel_for(0, runs.count * pieces, grain, [&](std::int64_t begin, std::int64_t end) {
    Bits mine = 0;
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t first = i % pieces * kPiece;
      const std::int64_t size = std::min(kPiece, runs.length - first);
      mine = std::max(mine, largest_magnitude(source + runs.offset(i / pieces) + first, size));
    }
    Bits seen = largest.load();
    while (mine > seen && !largest.compare_exchange_weak(seen, mine)) {
    }
  });
  Tensor out = at::empty({}, x.options());
  *static_cast<Bits*>(out.mutable_data_ptr()) = largest.load();
  return out;
}

}  // namespace

Tensor abs_max(const Tensor& x) {
  DITQ_ASSERT(x.numel() > 0);
  if (x.is_cpu() && x.scalar_type() == at::kBFloat16) return cpu_abs_max<std::uint16_t>(x);
  if (x.is_cpu() && x.scalar_type() == at::kFloat) return cpu_abs_max<std::uint32_t>(x);
  return reference::abs_max(x);
}

namespace reference {

Tensor abs_max(const Tensor& x) {
  return x.abs().amax();
}

}  // namespace reference
}  // namespace ditq
