#include "ops/modulate.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/layer_norm.h>

#include "base/error.h"
#include "ops/device_view.h"
#include "ops/quantize.h"
#include "ops/vector.h"

namespace ditq {
namespace {

constexpr double kEpsilon = 1e-6;
/// Rows a thread takes at least: below that, waking another thread costs more than it saves.
constexpr std::int64_t kGrain = 32;

template <typename T>
DITQ_VECTOR_CLONES void modulate_row(
    const T* x, const T* shift, const T* scale, T* out, std::int64_t size) {
  float sums[kLanes] = {};
  for_lanes(size, [&](std::int64_t i, std::int64_t lane) { sums[lane] += load_float(x + i); });
  const float mean = sum_lanes(sums) / static_cast<float>(size);
  float squares[kLanes] = {};
  for_lanes(size, [&](std::int64_t i, std::int64_t lane) {
    const float centred = load_float(x + i) - mean;
    squares[lane] += centred * centred;
  });
  const float variance = sum_lanes(squares) / static_cast<float>(size);
  const float inverse = 1.0F / std::sqrt(variance + static_cast<float>(kEpsilon));
  for (std::int64_t i = 0; i < size; ++i) {
    const float normal = rounded<T>((load_float(x + i) - mean) * inverse);
    const float factor = rounded<T>(1.0F + load_float(scale + i));
    store_rounded(out + i, rounded<T>(normal * factor) + load_float(shift + i));
  }
}

template <typename T>
DITQ_VECTOR_CLONES void add_gated_row(T* x, const T* gate, const T* y, std::int64_t size) {
  for (std::int64_t i = 0; i < size; ++i) {
    store_rounded(x + i, load_float(x + i) + rounded<T>(load_float(gate + i) * load_float(y + i)));
  }
}

/// Calls visit(batch, row) for every row of [B, L, D], in parallel.
template <typename Visit>
void for_rows(const Tensor& x, const Visit& visit) {
  const std::int64_t length = x.size(1);
  at::parallel_for(0, x.size(0) * length, kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) visit(i / length, i % length);
  });
}

template <typename T>
const T* row(const Tensor& x, std::int64_t batch, std::int64_t index) {
  return reinterpret_cast<const T*>(x.const_data_ptr()) + batch * x.stride(0) + index * x.stride(1);
}

template <typename T>
const T* vector(const Tensor& x, std::int64_t batch) {
  return reinterpret_cast<const T*>(x.const_data_ptr()) + batch * x.stride(0);
}

template <typename T>
void modulate_all(const Tensor& x, const Tensor& shift, const Tensor& scale, const Tensor& out) {
  for_rows(x, [&](std::int64_t b, std::int64_t l) {
    modulate_row(row<T>(x, b, l), vector<T>(shift, b), vector<T>(scale, b),
                 const_cast<T*>(row<T>(out, b, l)), x.size(2));
  });
}

template <typename T>
void add_gated_all(const Tensor& x, const Tensor& gate, const Tensor& y) {
  for_rows(x, [&](std::int64_t b, std::int64_t l) {
    add_gated_row(const_cast<T*>(row<T>(x, b, l)), vector<T>(gate, b), row<T>(y, b, l), x.size(2));
  });
}

constexpr std::int64_t kMaxCudaWidth = 8192;

bool can_run_cuda(const Tensor& x, const std::vector<Tensor>& others) {
  if (!x.is_cuda() || x.scalar_type() != at::kBFloat16 || x.size(2) > kMaxCudaWidth) return false;
  return has_vector_rows(x) && std::all_of(others.begin(), others.end(), [](const Tensor& other) {
           return !other.defined() || has_vector_rows(other);
         });
}

/// The part of a problem that adds `update` to x.
NormModulateProblem update_problem(const Tensor& x, const GatedUpdate& update) {
  NormModulateProblem problem{.batch = x.size(0),
                              .tokens = x.size(1),
                              .width = x.size(2),
                              .x = token_view(x),
                              .epsilon = kEpsilon};
  if (!update.y.defined()) return problem;
  problem.y = token_view(update.y);
  problem.gate = vector_view(update.gate);
  return problem;
}

Tensor run_cuda(const Tensor& x,
                const GatedUpdate& update,
                const Tensor& shift,
                const Tensor& scale,
                const Form& form) {
  const auto dtype = form.e4m3 ? at::kFloat8_e4m3fn : x.scalar_type();
  Tensor out = at::empty(x.sizes(), x.options().dtype(dtype));
  NormModulateProblem problem = update_problem(x, update);
  problem.shift = vector_view(shift);
  problem.scale = vector_view(scale);
  problem.out = token_view(out);
  problem.e4m3 = form.e4m3;
  problem.inverse_scale = 1.0F / form.scale;
  cuda().norm_modulate(problem);
  return out;
}

}  // namespace

Tensor layer_norm_modulate(const Tensor& x,
                           const Tensor& shift,
                           const Tensor& scale,
                           const Form& form) {
  if (can_run_cuda(x, {shift, scale})) return run_cuda(x, {}, shift, scale, form);
  if (!x.is_cpu()) return to_form(reference::layer_norm_modulate(x, shift, scale), form);
  DITQ_ASSERT(x.dim() == 3 && x.stride(2) == 1 && shift.stride(1) == 1 && scale.stride(1) == 1);
  Tensor out = at::empty(x.sizes(), x.options());
  if (x.scalar_type() == at::kFloat) {
    modulate_all<float>(x, shift, scale, out);
  } else {
    DITQ_ASSERT(x.scalar_type() == at::kBFloat16);
    modulate_all<BFloat16Bits>(x, shift, scale, out);
  }
  return to_form(out, form);
}

Tensor add_gated_layer_norm_modulate(const Tensor& x,
                                     const GatedUpdate& update,
                                     const Tensor& shift,
                                     const Tensor& scale,
                                     const Form& form) {
  if (can_run_cuda(x, {update.y, update.gate, shift, scale})) {
    return run_cuda(x, update, shift, scale, form);
  }
  if (update.y.defined()) add_gated(x, update.gate, update.y);
  return layer_norm_modulate(x, shift, scale, form);
}

void add_gated(const Tensor& x, const Tensor& gate, const Tensor& y) {
  if (can_run_cuda(x, {gate, y})) return cuda().norm_modulate(update_problem(x, {gate, y}));
  if (!x.is_cpu()) {
    x.copy_(reference::add_gated(x, gate, y));
    return;
  }
  DITQ_ASSERT(x.dim() == 3 && x.stride(2) == 1 && gate.stride(1) == 1 && y.stride(2) == 1);
  if (x.scalar_type() == at::kFloat) {
    add_gated_all<float>(x, gate, y);
  } else {
    DITQ_ASSERT(x.scalar_type() == at::kBFloat16);
    add_gated_all<BFloat16Bits>(x, gate, y);
  }
}

namespace reference {

Tensor layer_norm_modulate(const Tensor& x, const Tensor& shift, const Tensor& scale) {
  const Tensor normal = at::layer_norm(x, {x.size(-1)}, {}, {}, kEpsilon);
  return normal.mul(scale.unsqueeze(1).add(1)).add(shift.unsqueeze(1));
}

Tensor add_gated(const Tensor& x, const Tensor& gate, const Tensor& y) {
  return x.add(gate.unsqueeze(1).mul(y));
}

}  // namespace reference
}  // namespace ditq
