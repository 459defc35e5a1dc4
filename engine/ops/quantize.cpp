#include "ops/quantize.h"

#include <algorithm>

#include <ATen/Parallel.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/empty.h>

#include "base/error.h"
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

template <typename In>
void quantize_all(const Tensor& x, const Tensor& out, float inverse) {
  const auto* source = reinterpret_cast<const In*>(x.const_data_ptr());
  auto* target = reinterpret_cast<BFloat16Bits*>(out.mutable_data_ptr());
  at::parallel_for(0, x.numel(), 32768, [&](std::int64_t begin, std::int64_t end) {
    quantize_range(source + begin, target + begin, end - begin, inverse);
  });
}

}  // namespace

Tensor quantize_e4m3(const Tensor& x, float input_scale) {
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

namespace reference {

Tensor quantize_e4m3(const Tensor& x, float input_scale) {
  const Tensor scaled = x.to(at::kFloat).mul(1.0F / input_scale);
  return at::clamp(scaled, -448.0, 448.0).to(at::kFloat8_e4m3fn).to(at::kBFloat16);
}

}  // namespace reference
}  // namespace ditq
