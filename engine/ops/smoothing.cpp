#include "ops/smoothing.h"

#include <limits>

#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/pow.h>

namespace ditq {
namespace {

constexpr double kLeastScale = 1e-4;
constexpr double kLargestScale = 1e4;
/// The smallest normal number of f32 and of bf16.
constexpr double kTiny = std::numeric_limits<float>::min();

}  // namespace

Tensor channel_mean(const Tensor& x) {
  return x.abs().reshape({-1, x.size(-1)}).mean(0).to(at::kFloat);
}

Tensor block_relative_mean(const Tensor& w, std::int64_t block) {
  const std::int64_t rows = w.size(0);
  const std::int64_t columns = w.size(1);
  const std::int64_t missing = (block - columns % block) % block;
  const Tensor padded = missing == 0 ? w : at::constant_pad_nd(w, {0, missing}, 0);
  const Tensor blocks = padded.abs().reshape({-1, block});
  const Tensor relative = blocks.div(blocks.amax(1, /*keepdim=*/true).add(kTiny));
  return relative.view({rows, columns + missing}).narrow(1, 0, columns).mean(0).to(at::kFloat);
}

Tensor balancing_scale(const Tensor& activations, const Tensor& weights, float alpha) {
  const double exponent = alpha;
  const Tensor scale = at::pow(activations, exponent)
                           .div(at::pow(weights, 1.0 - exponent).add(kTiny))
                           .clamp(kLeastScale, kLargestScale);
  return scale.div(scale.max().mul(scale.min()).sqrt());
}

Tensor mean_squared_difference(const Tensor& a, const Tensor& b) {
  return at::pow(a.sub(b).to(at::kFloat), 2).mean();
}

}  // namespace ditq
