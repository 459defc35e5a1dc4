#include "pipeline/confidence.h"

#include <array>
#include <cmath>
#include <numeric>

#include "base/error.h"

namespace ditq {
namespace {

/// Two-sided 95 % quantiles of Student's t for 1 … 30 degrees of freedom.
constexpr std::array<double, 30> kStudent = {
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201,  2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080,  2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042};

/// The quantile for any number: above 30 by the first terms of its expansion round the normal one, right to 0.001.
double student(std::size_t freedom) {
  if (freedom <= kStudent.size()) return kStudent[freedom - 1];
  constexpr double kNormal = 1.959964;
  return kNormal + (kNormal * kNormal * kNormal + kNormal) / (4 * static_cast<double>(freedom));
}

}  // namespace

double mean(const std::vector<double>& values) {
  DITQ_ASSERT(!values.empty());
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double confidence_95(const std::vector<double>& values) {
  if (values.size() < 2) return 0;
  const double middle = mean(values);
  double squares = 0;
  for (const double value : values) squares += (value - middle) * (value - middle);
  const auto count = static_cast<double>(values.size());
  return student(values.size() - 1) * std::sqrt(squares / (count - 1) / count);
}

}  // namespace ditq
