#include "quant/clip_kernels.h"

#include "quant/fp8_kernels.h"

// Which clone runs is chosen while the library is being loaded, before ThreadSanitizer's runtime can be called: GCC
// instruments the choice all the same, and a program with clones would not start.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_THREAD__)
#define DITQ_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define DITQ_CLONES
#endif

namespace ditq::clip {
namespace {

constexpr std::size_t kLanes = 8;

/// The nearest E4M3 value, ties to even, of a value within ±448: adding and subtracting 1.5 · 2^23 steps rounds to a
/// multiple of the step, which is 2^(e-3), or 2^-9 below 2^-6.
[[gnu::always_inline]] inline float nearest_e4m3(float value) {
  const std::uint32_t exponent = (__builtin_bit_cast(std::uint32_t, value) >> 23) & 0xFFU;
  const std::uint32_t floor = exponent < 121 ? 121 : exponent;
  const auto magic = __builtin_bit_cast(float, (floor + 20) << 23 | 0x400000U);
  return (value + magic) - magic;
}

[[gnu::always_inline]] inline double error_of(float value, float scale) {
  const float code = nearest_e4m3(fp8::clamp_to_e4m3(value / scale));
  const double difference = static_cast<double>(value) - static_cast<double>(code * scale);
  return difference * difference;
}

}  // namespace

DITQ_CLONES double squared_error_e4m3(const float* values, std::size_t count, float scale) {
  double sums[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      sums[lane] += error_of(values[i + lane], scale);
    }
  }
  for (std::size_t lane = 0; i < count; ++i, ++lane) sums[lane] += error_of(values[i], scale);
  double sum = 0;
  for (const double part : sums) sum += part;
  return sum;
}

DITQ_CLONES std::size_t encode_e4m3_clamped(const float* values,
                                            std::size_t count,
                                            float scale,
                                            std::uint8_t* codes) {
  std::size_t nans = 0;
  for (std::size_t i = 0; i < count; ++i) {
    codes[i] = fp8::encode_e4m3_bits(fp8::clamp_to_e4m3(values[i] / scale));
    nans += (codes[i] & 0x7fU) == 0x7fU ? 1 : 0;
  }
  return nans;
}

}  // namespace ditq::clip
