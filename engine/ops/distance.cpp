#include "ops/distance.h"

#include <ATen/ops/cosine_similarity.h>
#include <ATen/ops/linalg_vector_norm.h>

#include "base/error.h"

namespace ditq {
namespace {

double number(const Tensor& scalar) {
  return static_cast<double>(scalar.item<float>());
}

double norm(const Tensor& x) {
  return number(at::linalg_vector_norm(x, 2));
}

double cosine(const Tensor& a, const Tensor& b) {
  const double norm_a = norm(a);
  const double norm_b = norm(b);
  if (norm_a == 0 && norm_b == 0) return 1;
  if (norm_a == 0 || norm_b == 0) return 0;
  return number(at::cosine_similarity(a, b, /*dim=*/0, /*eps=*/1e-8));
}

}  // namespace

Deviation deviation_of(const Tensor& reference, const Tensor& candidate) {
  DITQ_ASSERT(reference.sizes() == candidate.sizes() && reference.numel() > 0);
  const Tensor a = reference.to(at::kCPU).to(at::kDouble).reshape({-1});
  const Tensor b = candidate.to(at::kCPU).to(at::kDouble).reshape({-1});
  const auto of = [](const Tensor& x) { return at::linalg_vector_norm(x, 2).item<double>(); };
  const double norm_a = of(a);
  const double norm_b = of(b);
  const double difference = of(b.sub(a));
  if (norm_a == 0 && norm_b == 0) return {};
  if (norm_a == 0 || norm_b == 0) return {.relative_l2 = difference / norm_a, .cosine = 0};
  return {.relative_l2 = difference / norm_a,
          .cosine = a.dot(b).item<double>() / (norm_a * norm_b)};
}

Distance distance(const Tensor& reference, const Tensor& candidate) {
  DITQ_ASSERT(reference.sizes() == candidate.sizes() && reference.numel() > 0);
  const Tensor a = reference.to(at::kCPU).to(at::kFloat);
  const Tensor b = candidate.to(at::kCPU).to(at::kFloat);
  const Tensor difference = a.sub(b);
  const Tensor magnitude = difference.abs();
  return {.cosine_similarity = cosine(a.reshape({-1}), b.reshape({-1})),
          .mae = number(magnitude.mean()),
          .mse = number(difference.square().mean()),
          .max_abs = number(magnitude.max()),
          .l2 = norm(difference)};
}

}  // namespace ditq
