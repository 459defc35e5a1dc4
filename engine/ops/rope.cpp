#include "ops/rope.h"

#include <cmath>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/stack.h>

#include "base/error.h"
#include "ops/device_view.h"
#include "ops/vector.h"

namespace ditq {
namespace {

constexpr std::int64_t kMaxHeadSize = 256;

template <typename T>
DITQ_VECTOR_CLONES void norm_rope_head(
    T* x, const T* weight, const float* cos, const float* sin, std::int64_t size) {
  float squares[kLanes] = {};
  for_lanes(size, [&](std::int64_t i, std::int64_t lane) {
    const float value = load_float(x + i);
    squares[lane] += value * value;
  });
  const float mean_square = sum_lanes(squares) / static_cast<float>(size);
  const float inverse = 1.0F / std::sqrt(mean_square + static_cast<float>(kQkNormEpsilon));
  float normal[kMaxHeadSize];
  for (std::int64_t i = 0; i < size; ++i) {
    normal[i] = rounded<T>(load_float(x + i) * inverse * load_float(weight + i));
  }
  for (std::int64_t i = 0; i < size / 2; ++i) {
    const float a = normal[2 * i];
    const float b = normal[2 * i + 1];
    store_rounded(x + 2 * i, a * cos[i] - b * sin[i]);
    store_rounded(x + 2 * i + 1, b * cos[i] + a * sin[i]);
  }
}

template <typename T>
void norm_rope_all(const Tensor& x, const Tensor& weight, const Rope& rope) {
  const std::int64_t length = x.size(1);
  const std::int64_t heads = x.size(2);
  const std::int64_t size = x.size(3);
  auto* data = reinterpret_cast<T*>(x.mutable_data_ptr());
  const auto* weights = reinterpret_cast<const T*>(weight.const_data_ptr());
  const float* cos = rope.cos.const_data_ptr<float>();
  const float* sin = rope.sin.const_data_ptr<float>();
  at::parallel_for(0, x.size(0) * length, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t token = i % length;
      T* row = data + i / length * x.stride(0) + token * x.stride(1);
      for (std::int64_t head = 0; head < heads; ++head) {
        norm_rope_head(row + head * x.stride(2), weights, cos + token * rope.cos.stride(0),
                       sin + token * rope.sin.stride(0), size);
      }
    }
  });
}

}  // namespace

Rope Rope::slice(std::int64_t begin, std::int64_t count) const {
  return {cos.narrow(0, begin, count), sin.narrow(0, begin, count)};
}

Rope Rope::to(at::Device device) const {
  return {on_device(cos, device), on_device(sin, device)};
}

Rope make_rope(const Tensor& positions, at::IntArrayRef axes, double theta) {
  std::vector<Tensor> angles;
  for (std::size_t axis = 0; axis < axes.size(); ++axis) {
    const auto size = static_cast<double>(axes[axis]);
    const Tensor exponent = at::arange(0, axes[axis], 2, at::TensorOptions(at::kDouble)).div(size);
    const Tensor frequencies = at::pow(theta, exponent).reciprocal();
    const Tensor position = positions.select(1, static_cast<std::int64_t>(axis)).to(at::kDouble);
    angles.push_back(at::outer(position, frequencies));
  }
  const Tensor all = at::cat(angles, 1);
  return {all.cos().to(at::kFloat), all.sin().to(at::kFloat)};
}

void rms_norm_rope(const Tensor& x, const Tensor& weight, const Rope& rope) {
  DITQ_ASSERT(x.dim() == 4 && x.stride(3) == 1 && x.size(3) % 2 == 0 && x.size(3) <= kMaxHeadSize);
  DITQ_ASSERT(rope.cos.size(0) == x.size(1) && rope.cos.size(1) == x.size(3) / 2);
  if (!x.is_cpu()) {
    x.copy_(reference::rms_norm_rope(x, weight, rope));
    return;
  }
  if (x.scalar_type() == at::kFloat) {
    norm_rope_all<float>(x, weight, rope);
  } else {
    DITQ_ASSERT(x.scalar_type() == at::kBFloat16);
    norm_rope_all<BFloat16Bits>(x, weight, rope);
  }
}

namespace {

bool can_run_cuda(const JointQk& qk, const Rope& rope) {
  const std::int64_t size = qk.q.size(3);
  return qk.q.is_cuda() && qk.q.scalar_type() == at::kBFloat16 &&
         (size == 64 || size == 128 || size == 256) && has_vector_rows(qk.q) &&
         has_vector_rows(qk.k) && qk.q.stride(2) == size && qk.k.stride(2) == size &&
         rope.cos.is_contiguous() && rope.sin.is_contiguous();
}

void run_cuda(const JointQk& qk, const Rope& rope) {
  const auto data = [](const Tensor& x) { return x.defined() ? x.const_data_ptr() : nullptr; };
  cuda().qk_norm_rope({.batch = qk.q.size(0),
                       .tokens = qk.q.size(1),
                       .heads = qk.q.size(2),
                       .head_dim = qk.q.size(3),
                       .text_tokens = qk.text_tokens,
                       .q = token_view(qk.q),
                       .k = token_view(qk.k),
                       .text_q = data(qk.text_q),
                       .text_k = data(qk.text_k),
                       .image_q = data(qk.image_q),
                       .image_k = data(qk.image_k),
                       .cos = rope.cos.const_data_ptr<float>(),
                       .sin = rope.sin.const_data_ptr<float>(),
                       .epsilon = kQkNormEpsilon});
}

}  // namespace

void joint_norm_rope(const JointQk& qk, const Rope& rope) {
  if (can_run_cuda(qk, rope)) return run_cuda(qk, rope);
  const std::int64_t text = qk.text_tokens;
  const std::int64_t image = qk.q.size(1) - text;
  if (text > 0) {
    const Rope rows = rope.slice(0, text);
    rms_norm_rope(qk.q.narrow(1, 0, text), qk.text_q, rows);
    rms_norm_rope(qk.k.narrow(1, 0, text), qk.text_k, rows);
  }
  const Rope rows = rope.slice(text, image);
  rms_norm_rope(qk.q.narrow(1, text, image), qk.image_q, rows);
  rms_norm_rope(qk.k.narrow(1, text, image), qk.image_k, rows);
}

namespace reference {

Tensor rms_norm_rope(const Tensor& x, const Tensor& weight, const Rope& rope) {
  const Tensor wide = x.to(at::kFloat);
  const Tensor inverse = at::rsqrt(wide.mul(wide).mean(-1, /*keepdim=*/true).add(kQkNormEpsilon));
  const Tensor normal =
      wide.mul(inverse).mul(weight.to(at::kFloat)).to(x.scalar_type()).to(at::kFloat);
  const Tensor pairs = normal.unflatten(-1, {-1, 2});
  const Tensor a = pairs.select(-1, 0);
  const Tensor b = pairs.select(-1, 1);
  const Tensor cos = rope.cos.unsqueeze(1);
  const Tensor sin = rope.sin.unsqueeze(1);
  const Tensor turned = at::stack({a.mul(cos).sub(b.mul(sin)), b.mul(cos).add(a.mul(sin))}, -1);
  return turned.flatten(-2).to(x.scalar_type());
}

}  // namespace reference
}  // namespace ditq
