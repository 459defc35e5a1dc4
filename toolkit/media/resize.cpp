#include "media/resize.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace ditq {
namespace {

constexpr std::int64_t kChannels = 3;
constexpr double kSupport = 2;
/// Bits behind the point of a weight.
constexpr int kPrecision = 32 - 8 - 2;

double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

/// The input positions that make one output position.
struct Window {
  std::int64_t first = 0;
  std::vector<int> weights;
};

int fixed_point(double weight) {
  const double scaled = weight * (1 << kPrecision);
  return static_cast<int>(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
}

std::vector<Window> windows(std::int64_t in, std::int64_t out) {
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double filter_scale = std::max(scale, 1.0);
  const double support = kSupport * filter_scale;
  const double inverse = 1.0 / filter_scale;
  std::vector<Window> all(static_cast<std::size_t>(out));
  for (std::int64_t position = 0; position < out; ++position) {
    const double center = (static_cast<double>(position) + 0.5) * scale;
    const auto first = std::max<std::int64_t>(static_cast<std::int64_t>(center - support + 0.5), 0);
    const auto last = std::min(static_cast<std::int64_t>(center + support + 0.5), in);
    std::vector<double> weights;
    double sum = 0;
    for (std::int64_t i = first; i < last; ++i) {
      weights.push_back(bicubic((static_cast<double>(i) - center + 0.5) * inverse));
      sum += weights.back();
    }
    Window& window = all[static_cast<std::size_t>(position)];
    window.first = first;
    for (const double weight : weights) {
      window.weights.push_back(fixed_point(sum != 0 ? weight / sum : weight));
    }
  }
  return all;
}

/// The weighted sum of values `stride` apart, in 8 bits.
std::uint8_t weighted(const std::uint8_t* first,
                      std::int64_t stride,
                      const std::vector<int>& weights) {
  int sum = 1 << (kPrecision - 1);
  for (const int weight : weights) {
    sum += *first * weight;
    first += stride;
  }
  return static_cast<std::uint8_t>(std::clamp(sum >> kPrecision, 0, 255));
}

Picture blank(std::int64_t width, std::int64_t height) {
  Picture out{.width = width, .height = height, .pixels = {}};
  out.pixels.resize(static_cast<std::size_t>(width * height * kChannels));
  return out;
}

Picture resized_across(const Picture& picture, std::int64_t width) {
  if (picture.width == width) return picture;
  Picture out = blank(width, picture.height);
  const std::vector<Window> all = windows(picture.width, width);
  std::uint8_t* target = out.pixels.data();
  for (std::int64_t row = 0; row < picture.height; ++row) {
    const std::uint8_t* line = picture.pixels.data() + row * picture.width * kChannels;
    for (const Window& window : all) {
      for (std::int64_t c = 0; c < kChannels; ++c) {
        *target++ = weighted(line + window.first * kChannels + c, kChannels, window.weights);
      }
    }
  }
  return out;
}

Picture resized_down(const Picture& picture, std::int64_t height) {
  if (picture.height == height) return picture;
  Picture out = blank(picture.width, height);
  const std::int64_t line = picture.width * kChannels;
  std::uint8_t* target = out.pixels.data();
  for (const Window& window : windows(picture.height, height)) {
    const std::uint8_t* first = picture.pixels.data() + window.first * line;
    for (std::int64_t i = 0; i < line; ++i) *target++ = weighted(first + i, line, window.weights);
  }
  return out;
}

}  // namespace

Picture resize_bicubic(const Picture& picture, std::int64_t width, std::int64_t height) {
  DITQ_ASSERT(width > 0 && height > 0 && picture.width > 0 && picture.height > 0);
  return resized_down(resized_across(picture, width), height);
}

Picture center_crop(const Picture& picture, std::int64_t width, std::int64_t height) {
  DITQ_ASSERT(width <= picture.width && height <= picture.height);
  const std::int64_t left = (picture.width - width) / 2;
  const std::int64_t top = (picture.height - height) / 2;
  Picture out = blank(width, height);
  for (std::int64_t row = 0; row < height; ++row) {
    const std::uint8_t* from =
        picture.pixels.data() + ((top + row) * picture.width + left) * kChannels;
    std::copy(from, from + width * kChannels, out.pixels.data() + row * width * kChannels);
  }
  return out;
}

}  // namespace ditq
