#include "ops/quantize.h"

#include <algorithm>
#include <array>

#include <ATen/Parallel.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/clamp_min.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gelu.h>

#include "base/error.h"
#include "ops/device_view.h"
#include "ops/vector.h"

namespace ditq {
namespace {

/// The nearest E4M3 value, ties to even, of a value within ±448. Adding and subtracting 1.5 · 2^23 quanta rounds to a
/// multiple of the quantum: 2^(e-3) for normal values, 2^-9 below 2^-6.
inline float nearest_e4m3(float value) {
  const std::uint32_t exponent = (std::bit_cast<std::uint32_t>(value) >> 23) & 0xFF;
  const std::uint32_t floor = exponent < 121 ? 121 : exponent;
  const auto magic = std::bit_cast<float>((floor + 20) << 23 | 0x400000);
  const float rounded = (value + magic) - magic;
  // A negative value that rounds to zero keeps its sign.
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(rounded) |
                              (std::bit_cast<std::uint32_t>(value) & 0x80000000));
}

constexpr float kLeastRowScale = 1.0F / (448.0F * 512.0F);

template <typename In>
DITQ_VECTOR_CLONES void quantize_range(const In* in,
                                       BFloat16Bits* out,
                                       std::int64_t count,
                                       float inverse) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float scaled = load_float(in + i) * inverse;
    float clamped = scaled < -448.0F ? -448.0F : scaled;
    clamped = clamped > 448.0F ? 448.0F : clamped;
    // Exact in bf16: the upper half is the value.
    out[i].bits =
        static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(nearest_e4m3(clamped)) >> 16);
  }
}

/// Largest magnitude; NaN where one is there.
template <typename In>
DITQ_VECTOR_CLONES float magnitude_of(const In* in, std::int64_t count) {
  std::array<std::uint32_t, kLanes> lanes{};
  // Magnitudes order as their bits do, and NaN is above them all.
  for_lanes(count, [&](std::int64_t i, std::int64_t lane) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(load_float(in + i)) & 0x7FFFFFFF;
    auto& most = lanes[static_cast<std::size_t>(lane)];
    most = bits > most ? bits : most;
  });
  return std::bit_cast<float>(*std::max_element(lanes.begin(), lanes.end()));
}

template <typename In>
void quantize_each_row(const Tensor& x, const RowQuantized& out) {
  const std::int64_t columns = x.size(1);
  const std::int64_t stride = x.stride(0);
  const auto* source = reinterpret_cast<const In*>(x.const_data_ptr());
  auto* target = reinterpret_cast<BFloat16Bits*>(out.values.mutable_data_ptr());
  auto* scales = out.scales.mutable_data_ptr<float>();
  at::parallel_for(0, x.size(0), 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t m = begin; m < end; ++m) {
      const float amax = magnitude_of(source + m * stride, columns);
      // Written so that a NaN stays.
      scales[m] = amax / 448.0F < kLeastRowScale ? kLeastRowScale : amax / 448.0F;
      quantize_range(source + m * stride, target + m * columns, columns, 1.0F / scales[m]);
    }
  });
}

template <typename In>
void quantize_all(const Tensor& x, const Tensor& out, float inverse) {
  const auto* source = reinterpret_cast<const In*>(x.const_data_ptr());
  auto* target = reinterpret_cast<BFloat16Bits*>(out.mutable_data_ptr());
  at::parallel_for(0, x.numel(), 32768, [&](std::int64_t begin, std::int64_t end) {
    quantize_range(source + begin, target + begin, end - begin, inverse);
  });
}

bool can_run_cuda(const Tensor& x, const Tensor& out) {
  return x.is_cuda() && x.scalar_type() == at::kBFloat16 && has_vector_rows(x) &&
         has_vector_rows(out);
}

/// x [M, C].
void quantize_rows(const Tensor& x, float scale, bool gelu, const Tensor& out) {
  if (!can_run_cuda(x, out)) {
    out.copy_(reference::e4m3_codes(x, scale, gelu));
    return;
  }
  cuda().quantize({.rows = x.size(0),
                   .columns = x.size(1),
                   .x = x.const_data_ptr(),
                   .x_stride = x.stride(0),
                   .out = out.data_ptr(),
                   .out_stride = out.stride(0),
                   .inverse_scale = 1.0F / scale,
                   .gelu = gelu});
}

}  // namespace

void quantize_into(const Tensor& x, float scale, bool gelu, const Tensor& out) {
  if (x.dim() == 2) return quantize_rows(x, scale, gelu, out);
  DITQ_ASSERT(x.dim() == 3);
  if (is_matrix(x) && is_matrix(out)) {
    const auto rows = [](const Tensor& all) {
      return all.as_strided({all.size(0) * all.size(1), all.size(2)}, {all.stride(1), 1});
    };
    return quantize_rows(rows(x), scale, gelu, rows(out));
  }
  for (std::int64_t batch = 0; batch < x.size(0); ++batch) {
    quantize_rows(x[batch], scale, gelu, out[batch]);
  }
}

Tensor to_form(const Tensor& x, const Form& form) {
  if (!form.e4m3 || x.scalar_type() == at::kFloat8_e4m3fn) return x;
  Tensor out = at::empty(x.sizes(), x.options().dtype(at::kFloat8_e4m3fn));
  quantize_into(x, form.scale, /*gelu=*/false, out);
  return out;
}

Tensor quantize_e4m3(const Tensor& x, float input_scale) {
  if (!x.is_cpu()) return to_form(x, {.e4m3 = true, .scale = input_scale}).to(at::kBFloat16);
  DITQ_ASSERT(x.is_contiguous());
  Tensor out = at::empty(x.sizes(), at::kBFloat16);
  const float inverse = 1.0F / input_scale;
  if (x.scalar_type() == at::kFloat) {
    quantize_all<float>(x, out, inverse);
  } else {
    DITQ_ASSERT(x.scalar_type() == at::kBFloat16);
    quantize_all<BFloat16Bits>(x, out, inverse);
  }
  return out;
}

RowQuantized quantize_e4m3_rows(const Tensor& x) {
  DITQ_ASSERT(x.is_cpu() && x.dim() == 2 && x.stride(1) == 1);
  const RowQuantized out{.values = at::empty(x.sizes(), at::kBFloat16),
                         .scales = at::empty({x.size(0)}, at::kFloat)};
  if (x.scalar_type() == at::kFloat) {
    quantize_each_row<float>(x, out);
  } else {
    DITQ_ASSERT(x.scalar_type() == at::kBFloat16);
    quantize_each_row<BFloat16Bits>(x, out);
  }
  return out;
}

namespace reference {

RowQuantized quantize_e4m3_rows(const Tensor& x) {
  const Tensor values = x.to(at::kFloat);
  const Tensor scales = at::clamp_min(values.abs().amax({1}).div(448.0), kLeastRowScale);
  const Tensor scaled = values.mul(scales.reciprocal().unsqueeze(1));
  return {.values = at::clamp(scaled, -448.0, 448.0).to(at::kFloat8_e4m3fn).to(at::kBFloat16),
          .scales = scales};
}

Tensor e4m3_codes(const Tensor& x, float scale, bool gelu) {
  const Tensor values = gelu ? at::gelu(x, "tanh") : x;
  const Tensor scaled = values.to(at::kFloat).mul(1.0F / scale);
  return at::clamp(scaled, -448.0, 448.0).to(at::kFloat8_e4m3fn);
}

Tensor quantize_e4m3(const Tensor& x, float input_scale) {
  const Tensor scaled = x.to(at::kFloat).mul(1.0F / input_scale);
  return at::clamp(scaled, -448.0, 448.0).to(at::kFloat8_e4m3fn).to(at::kBFloat16);
}

}  // namespace reference
}  // namespace ditq
