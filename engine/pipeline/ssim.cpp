#include "pipeline/ssim.h"

#include "base/error.h"

namespace ditq {
namespace {

constexpr std::int64_t kChannels = 3;
constexpr double kPixels = static_cast<double>(kSsimWindow * kSsimWindow);
constexpr double kC1 = (0.01 * 255) * (0.01 * 255);
constexpr double kC2 = (0.03 * 255) * (0.03 * 255);

/// Sums over a window: of both pictures' values, their squares and their product.
struct Moments {
  std::int64_t x = 0, y = 0, xx = 0, yy = 0, xy = 0;

  void add(const Moments& other, std::int64_t sign) {
    x += sign * other.x;
    y += sign * other.y;
    xx += sign * other.xx;
    yy += sign * other.yy;
    xy += sign * other.xy;
  }
};

Moments moments_of(std::int64_t x, std::int64_t y) {
  return {.x = x, .y = y, .xx = x * x, .yy = y * y, .xy = x * y};
}

double similarity(const Moments& sums) {
  constexpr double kSample =
      kPixels / (kPixels - 1);  // covariances of a sample, not of a population
  const double mean_x = static_cast<double>(sums.x) / kPixels;
  const double mean_y = static_cast<double>(sums.y) / kPixels;
  const auto covariance = [&](std::int64_t product, double first, double second) {
    return kSample * (static_cast<double>(product) / kPixels - first * second);
  };
  const double var_x = covariance(sums.xx, mean_x, mean_x);
  const double var_y = covariance(sums.yy, mean_y, mean_y);
  const double var_xy = covariance(sums.xy, mean_x, mean_y);
  const double luminance = (2 * mean_x * mean_y + kC1) / (mean_x * mean_x + mean_y * mean_y + kC1);
  return luminance * (2 * var_xy + kC2) / (var_x + var_y + kC2);
}

/// Slides the window along one row of windows, whose column sums are given, and adds up the
/// similarities.
double row_similarity(const std::vector<Moments>& columns) {
  Moments window;
  double sum = 0;
  for (std::size_t column = 0; column < columns.size(); ++column) {
    window.add(columns[column], 1);
    if (column + 1 < kSsimWindow) continue;
    sum += similarity(window);
    window.add(columns[column + 1 - kSsimWindow], -1);
  }
  return sum;
}

double channel_ssim(const Picture& reference, const Picture& candidate, std::int64_t channel) {
  const std::int64_t width = reference.width;
  std::vector<Moments> columns(static_cast<std::size_t>(width));
  const auto add_row = [&](std::int64_t row, std::int64_t sign) {
    for (std::int64_t column = 0; column < width; ++column) {
      const auto at = static_cast<std::size_t>((row * width + column) * kChannels + channel);
      columns[static_cast<std::size_t>(column)].add(
          moments_of(reference.pixels[at], candidate.pixels[at]), sign);
    }
  };
  double sum = 0;
  for (std::int64_t row = 0; row < reference.height; ++row) {
    add_row(row, 1);
    if (row + 1 < kSsimWindow) continue;
    sum += row_similarity(columns);
    add_row(row + 1 - kSsimWindow, -1);
  }
  const std::int64_t windows = (width - kSsimWindow + 1) * (reference.height - kSsimWindow + 1);
  return sum / static_cast<double>(windows);
}

}  // namespace

double ssim(const Picture& reference, const Picture& candidate) {
  DITQ_ASSERT(reference.width == candidate.width && reference.height == candidate.height);
  DITQ_ASSERT(reference.width >= kSsimWindow && reference.height >= kSsimWindow);
  double sum = 0;
  for (std::int64_t channel = 0; channel < kChannels; ++channel) {
    sum += channel_ssim(reference, candidate, channel);
  }
  return sum / static_cast<double>(kChannels);
}

}  // namespace ditq
