#include "ops/group_norm.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <type_traits>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/silu.h>

#include "base/error.h"
#include "ops/conv.h"
#include "ops/vector.h"

namespace ditq {
namespace {

/// Pixels whose moments are summed in f32 before they go to f64.
constexpr std::int64_t kChunk = 64;

/// Sums of x - origin and of its square per channel. With the first pixel as origin nothing cancels
/// where the mean is far above the spread.
template <typename T>
DITQ_VECTOR_CLONES void add_moments(const T* __restrict__ x,
                                    const T* __restrict__ origin,
                                    std::int64_t pixels,
                                    std::int64_t channels,
                                    float* __restrict__ sum,
                                    float* __restrict__ square) {
  const auto add = [&](std::int64_t at, std::int64_t c) __attribute__((always_inline)) {
    const float value = load_float(x + at) - load_float(origin + c);
    sum[c] += value;
    square[c] += value * value;
  };
  for (std::int64_t p = 0; p < pixels; ++p) {
    const std::int64_t first = p * channels;
    std::int64_t c = 0;
    for (; c + kLanes <= channels; c += kLanes) {
      for (std::int64_t lane = 0; lane < kLanes; ++lane) add(first + c + lane, c + lane);
    }
    for (; c < channels; ++c) add(first + c, c);
  }
}

/// e^x within 2 units in the last place for |x| <= 87. Cody and Waite's reduction, a polynomial of
/// degree 6 (Cephes expf), no calls and no branches: loops over it vectorise.
inline float exp_bounded(float x) {
  constexpr float kMagic = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer
  const float n = (x * 1.44269504F + kMagic) - kMagic;
  const float r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
  float poly = 1.9875691500e-4F;
  poly = poly * r + 1.3981999507e-3F;
  poly = poly * r + 8.3334519073e-3F;
  poly = poly * r + 4.1665795894e-2F;
  poly = poly * r + 1.6666665459e-1F;
  poly = poly * r + 5.0000001201e-1F;
  const float mantissa = poly * r * r + r + 1.0F;
  const auto power = static_cast<std::uint32_t>(static_cast<std::int32_t>(n) + 127) << 23;
  return mantissa * std::bit_cast<float>(power);
}

/// What a float becomes in T and back. Of a NaN it keeps the upper half, which is a NaN where x was
/// bf16.
template <typename T>
inline float passed_through(float value) {
  if (std::is_same_v<T, float>) return value;
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return std::bit_cast<float>((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000);
}

inline void store_exact(float* to, float value) {
  *to = value;
}
inline void store_exact(BFloat16Bits* to, float value) {
  to->bits = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16);
}

/// Values that are worked on at once. Several short loops instead of one: the compiler keeps the
/// full vector width in those that are f32 throughout and makes no branches of the bounds. So many
/// that what one loop stores has left the store buffer when the next one loads it.
constexpr std::int64_t kBlock = 128;

template <typename T, bool silu>
inline __attribute__((always_inline)) void scale_block(
    const T* x, std::int64_t count, const float* scale, const float* shift, T* out) {
  float value[kBlock];
  float bounded[kBlock];
  for (std::int64_t i = 0; i < count; ++i) {
    value[i] = passed_through<T>(load_float(x + i) * scale[i] + shift[i]);
  }
  if (silu) {
    for (std::int64_t i = 0; i < count; ++i) {
      const float low = value[i] > -87.0F ? value[i] : -87.0F;
      bounded[i] = low < 87.0F ? low : 87.0F;
    }
    for (std::int64_t i = 0; i < count; ++i) {
      value[i] = passed_through<T>(value[i] / (1.0F + exp_bounded(-bounded[i])));
    }
  }
  for (std::int64_t i = 0; i < count; ++i) store_exact(out + i, value[i]);
}

/// out = x * scale + shift, then SiLU. scale and shift hold `period` values, a multiple of kBlock,
/// and repeat.
template <typename T, bool silu>
DITQ_VECTOR_CLONES void scale_values(const T* __restrict__ x,
                                     std::int64_t count,
                                     const float* __restrict__ scale,
                                     const float* __restrict__ shift,
                                     std::int64_t period,
                                     T* __restrict__ out) {
  std::int64_t at = 0;
  std::int64_t i = 0;
  for (; i + kBlock <= count; i += kBlock) {
    scale_block<T, silu>(x + i, kBlock, scale + at, shift + at, out + i);
    at = at + kBlock == period ? 0 : at + kBlock;
  }
  if (i < count) scale_block<T, silu>(x + i, count - i, scale + at, shift + at, out + i);
}

/// Sums and sums of squares of every chunk: [chunks, 2, C].
template <typename T>
std::vector<float> chunk_moments(const T* x, std::int64_t pixels, std::int64_t channels) {
  const std::int64_t chunks = (pixels + kChunk - 1) / kChunk;
  std::vector<float> moments(static_cast<std::size_t>(chunks * 2 * channels));
  at::parallel_for(0, chunks, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t chunk = begin; chunk < end; ++chunk) {
      const std::int64_t first = chunk * kChunk;
      float* sum = moments.data() + chunk * 2 * channels;
      add_moments(x + first * channels, x, std::min(kChunk, pixels - first), channels, sum,
                  sum + channels);
    }
  });
  return moments;
}

struct Moments {
  double mean = 0;
  double square = 0;  ///< mean square distance from the mean
};

/// Moments of one channel over all chunks.
template <typename T>
Moments channel_moments(const std::vector<float>& sums,
                        std::int64_t pixels,
                        std::int64_t channels,
                        std::int64_t channel,
                        const T* origin) {
  double sum = 0;
  double square = 0;
  for (std::size_t at = static_cast<std::size_t>(channel); at < sums.size();
       at += static_cast<std::size_t>(2 * channels)) {
    sum += sums[at];
    square += sums[at + static_cast<std::size_t>(channels)];
  }
  const double mean = sum / static_cast<double>(pixels);
  return {load_float(origin + channel) + mean, square / static_cast<double>(pixels) - mean * mean};
}

/// y = x * scale + shift, per channel; repeated until the length is a multiple of kBlock.
struct Affine {
  std::vector<float> scale;
  std::vector<float> shift;

  void repeat() {
    const std::size_t channels = scale.size();
    const std::size_t period = std::lcm(channels, static_cast<std::size_t>(kBlock));
    for (std::size_t i = channels; i < period; ++i) {
      scale.push_back(scale[i - channels]);
      shift.push_back(shift[i - channels]);
    }
  }
};

template <typename T>
Affine fold(const std::vector<Moments>& moments,
            const T* weight,
            const T* bias,
            const GroupNormOptions& options) {
  const std::size_t width = moments.size() / static_cast<std::size_t>(options.groups);
  Affine affine{std::vector<float>(moments.size()), std::vector<float>(moments.size())};
  for (std::size_t begin = 0; begin < moments.size(); begin += width) {
    double mean = 0;
    double variance = 0;
    for (std::size_t c = begin; c < begin + width; ++c) mean += moments[c].mean;
    mean /= static_cast<double>(width);
    for (std::size_t c = begin; c < begin + width; ++c) {
      const double distance = moments[c].mean - mean;
      variance += moments[c].square + distance * distance;
    }
    variance = std::max(0.0, variance / static_cast<double>(width));
    const double inverse = 1.0 / std::sqrt(variance + options.eps);
    for (std::size_t c = begin; c < begin + width; ++c) {
      const double scale = load_float(weight + c) * inverse;
      affine.scale[c] = static_cast<float>(scale);
      affine.shift[c] = static_cast<float>(load_float(bias + c) - mean * scale);
    }
  }
  affine.repeat();
  return affine;
}

template <typename T>
void normalise(const Tensor& x,
               const Tensor& weight,
               const Tensor& bias,
               const GroupNormOptions& options,
               const Tensor& out) {
  const std::int64_t channels = x.size(1);
  const std::int64_t pixels = x.size(2) * x.size(3);
  const auto* source = reinterpret_cast<const T*>(x.const_data_ptr());
  auto* target = reinterpret_cast<T*>(out.mutable_data_ptr());
  for (std::int64_t b = 0; b < x.size(0); ++b) {
    const T* from = source + b * pixels * channels;
    T* to = target + b * pixels * channels;
    const std::vector<float> sums = chunk_moments(from, pixels, channels);
    std::vector<Moments> moments;
    for (std::int64_t c = 0; c < channels; ++c) {
      moments.push_back(channel_moments(sums, pixels, channels, c, from));
    }
    const Affine affine = fold(moments, reinterpret_cast<const T*>(weight.const_data_ptr()),
                               reinterpret_cast<const T*>(bias.const_data_ptr()), options);
    const auto period = static_cast<std::int64_t>(affine.scale.size());
    const std::int64_t count = pixels * channels;
    at::parallel_for(
        0, (count + period - 1) / period, 64, [&](std::int64_t begin, std::int64_t end) {
          const auto run = options.silu ? scale_values<T, true> : scale_values<T, false>;
          const std::int64_t first = begin * period;
          run(from + first, std::min(end * period, count) - first, affine.scale.data(),
              affine.shift.data(), period, to + first);
        });
  }
}

}  // namespace

Tensor group_norm(const Tensor& x,
                  const Tensor& weight,
                  const Tensor& bias,
                  const GroupNormOptions& options) {
  DITQ_ASSERT(x.dim() == 4 && x.size(1) % options.groups == 0);
  DITQ_ASSERT(weight.scalar_type() == x.scalar_type() && bias.scalar_type() == x.scalar_type());
  DITQ_ASSERT(weight.is_contiguous() && bias.is_contiguous());
  if (!x.is_cpu()) return channels_last(reference::group_norm(x, weight, bias, options));
  const Tensor input = channels_last(x);
  Tensor out = at::empty_like(input, {}, at::MemoryFormat::ChannelsLast);
  if (x.scalar_type() == at::kFloat) {
    normalise<float>(input, weight, bias, options, out);
  } else {
    DITQ_ASSERT(x.scalar_type() == at::kBFloat16);
    normalise<BFloat16Bits>(input, weight, bias, options, out);
  }
  return out;
}

namespace reference {

Tensor group_norm(const Tensor& x,
                  const Tensor& weight,
                  const Tensor& bias,
                  const GroupNormOptions& options) {
  const Tensor normal = at::group_norm(x, options.groups, weight, bias, options.eps);
  return options.silu ? at::silu(normal) : normal;
}

}  // namespace reference
}  // namespace ditq
