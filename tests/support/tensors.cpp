#include "support/tensors.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "format/safetensors.h"

namespace ditq::test {
namespace {

Tensor flat(const Tensor& x) {
  return x.to(at::kDouble).contiguous().view({-1});
}

template <typename Visit>
void pairs(const Tensor& a, const Tensor& b, const Visit& visit) {
  if (a.sizes() != b.sizes()) throw std::runtime_error("shapes differ");
  const Tensor x = flat(a);
  const Tensor y = flat(b);
  const auto* first = x.const_data_ptr<double>();
  const auto* second = y.const_data_ptr<double>();
  for (std::int64_t i = 0; i < x.numel(); ++i) visit(first[i], second[i]);
}

}  // namespace

Tensor load(const std::filesystem::path& file, const std::string& name) {
  const SafetensorsFile opened = SafetensorsFile::open(file.string());
  const TensorInfo* info = opened.find(name);
  if (info == nullptr) throw std::runtime_error(file.string() + " has no " + name);
  return from_file(*info).clone();
}

double max_abs(const Tensor& a, const Tensor& b) {
  double most = 0;
  pairs(a, b, [&](double x, double y) {
    const double distance = std::fabs(x - y);
    if (!(distance <= most)) most = distance;  // keeps a NaN
  });
  return most;
}

double relative(const Tensor& a, const Tensor& b) {
  double most = 0;
  pairs(a, b, [&](double, double y) { most = std::max(most, std::fabs(y)); });
  return max_abs(a, b) / most;
}

double cosine(const Tensor& a, const Tensor& b) {
  double dot = 0;
  double aa = 0;
  double bb = 0;
  pairs(a, b, [&](double x, double y) {
    dot += x * y;
    aa += x * x;
    bb += y * y;
  });
  return dot / std::sqrt(aa * bb);
}

double bf16_ulps(const Tensor& a, const Tensor& b) {
  double most = 0;
  pairs(a, b, [&](double x, double y) {
    const double magnitude = std::max({std::fabs(x), std::fabs(y), 1e-30});
    const double ulp = std::ldexp(1.0, std::ilogb(magnitude) - 7);
    most = std::max(most, std::fabs(x - y) / ulp);
  });
  return most;
}

}  // namespace ditq::test
