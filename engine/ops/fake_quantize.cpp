#include "ops/fake_quantize.h"

#include <array>
#include <bit>

#include <ATen/Parallel.h>
#include <ATen/ops/bucketize.h>
#include <ATen/ops/clamp_max.h>
#include <ATen/ops/copysign.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>

#include "base/error.h"
#include "ops/abs_max.h"
#include "ops/nearest.h"
#include "ops/vector.h"
#include "quant/nvfp4.h"

namespace ditq {
namespace {

constexpr auto kBlock = static_cast<std::int64_t>(kNvfp4Block);
constexpr float kE4m3Max = 448.0F;
constexpr float kTensorMax = 2688.0F;   // largest E2M1 value x largest block scale
constexpr float kLeastGlobal = 1e-12F;  // of a tensor of zeros
constexpr float kLeastScale = 1e-5F;    // blocks below are divided by 1, which flushes them
constexpr float kLeastAmax = 0x1p-24F;

float global_scale(const Tensor& w) {
  const float global = abs_max(w).to(at::kFloat).item<float>() / kTensorMax;
  return global > 0 ? global : kLeastGlobal;
}

template <typename T>
inline __attribute__((always_inline)) void fake_quantize_block(const T* in, T* out, float global) {
  std::array<float, kBlock> values;
  std::uint32_t largest = 0;
  for (std::int64_t i = 0; i < kBlock; ++i) {
    values[i] = load_float(in + i);
    const std::uint32_t magnitude = std::bit_cast<std::uint32_t>(values[i]) & 0x7FFFFFFF;
    largest = magnitude > largest ? magnitude : largest;
  }
  const float wanted = std::bit_cast<float>(largest) / (6.0F * global);
  const float scale = nearest_e4m3(wanted > kE4m3Max ? kE4m3Max : wanted) * global;
  const float divisor = scale < kLeastScale ? 1.0F : scale;
  for (std::int64_t i = 0; i < kBlock; ++i) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(values[i]);
    const float scaled = std::bit_cast<float>(bits & 0x7FFFFFFF) / divisor;
    const float product = nearest_e2m1(scaled > 6.0F ? 6.0F : scaled) * divisor;
    const std::uint32_t sign = bits & 0x80000000;
    store_rounded(out + i, std::bit_cast<float>(std::bit_cast<std::uint32_t>(product) | sign));
  }
}

template <typename T>
DITQ_VECTOR_CLONES void fake_quantize_blocks(const T* in,
                                             T* out,
                                             std::int64_t blocks,
                                             float global) {
  for (std::int64_t block = 0; block < blocks; ++block) {
    fake_quantize_block(in + block * kBlock, out + block * kBlock, global);
  }
}

template <typename T>
Tensor fake_quantize_all(const Tensor& w, float global) {
  Tensor out = at::empty(w.sizes(), w.options());
  const auto* source = reinterpret_cast<const T*>(w.const_data_ptr());
  auto* target = reinterpret_cast<T*>(out.mutable_data_ptr());
  at::parallel_for(0, w.numel() / kBlock, 1024, [&](std::int64_t begin, std::int64_t end) {
    fake_quantize_blocks(source + begin * kBlock, target + begin * kBlock, end - begin, global);
  });
  return out;
}

}  // namespace

Tensor fake_quantize_nvfp4(const Tensor& w) {
  DITQ_ASSERT(w.is_contiguous() && w.size(-1) % kBlock == 0);
  if (!w.is_cpu()) return reference::fake_quantize_nvfp4(w);
  const float global = global_scale(w);
  if (w.scalar_type() == at::kFloat) return fake_quantize_all<float>(w, global);
  DITQ_ASSERT(w.scalar_type() == at::kBFloat16);
  return fake_quantize_all<BFloat16Bits>(w, global);
}

void fake_quantize_e4m3(const Tensor& x, const Tensor& amax) {
  const Tensor wide = amax.to(at::kFloat);
  const Tensor bounded = at::where(wide.le(kLeastAmax), at::ones_like(wide), wide);
  const Tensor scale = bounded.reciprocal().mul(kE4m3Max);
  const Tensor codes =
      x.to(at::kFloat).mul(scale).clamp(-kE4m3Max, kE4m3Max).to(at::kFloat8_e4m3fn);
  x.copy_(codes.to(at::kFloat).mul(scale.reciprocal()));
}

namespace reference {

Tensor fake_quantize_nvfp4(const Tensor& w) {
  const auto options = w.options().dtype(at::kFloat);
  const Tensor blocks = w.to(at::kFloat).reshape({-1, kBlock});
  const float global = global_scale(w);
  const Tensor wanted = blocks.abs().amax(1, /*keepdim=*/true).div(6.0F * global);
  const Tensor scale =
      at::clamp_max(wanted, kE4m3Max).to(at::kFloat8_e4m3fn).to(at::kFloat).mul(global);
  const Tensor divisor = at::where(scale.lt(kLeastScale), at::ones_like(scale), scale);
  const Tensor scaled = blocks.abs().div(divisor);
  // Midpoints between neighbours; at a tie the even code, so every second midpoint belongs to the
  // smaller one.
  const Tensor below = at::tensor({0.25F, 1.25F, 2.5F, 5.0F}, options);
  const Tensor above = at::tensor({0.75F, 1.75F, 3.5F}, options);
  const Tensor code = at::bucketize(scaled, below, /*out_int32=*/false, /*right=*/false)
                          .add(at::bucketize(scaled, above, false, /*right=*/true));
  const Tensor values = at::tensor({0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F}, options);
  return at::copysign(values.index({code}).mul(divisor), blocks)
      .reshape(w.sizes())
      .to(w.scalar_type());
}

}  // namespace reference
}  // namespace ditq
