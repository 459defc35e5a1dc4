#include "ops/nvfp4.h"

#include <algorithm>
#include <array>

#include <ATen/Parallel.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/bucketize.h>
#include <ATen/ops/clamp_max.h>
#include <ATen/ops/copysign.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include "base/error.h"
#include "ops/device_view.h"
#include "ops/nearest.h"
#include "ops/vector.h"
#include "quant/fp8.h"
#include "quant/nvfp4.h"

namespace ditq {
namespace {

constexpr auto kBlock = static_cast<std::int64_t>(kNvfp4Block);

/// Transposes [rows, columns] bytes into panels [rows / 64, columns, 64].
Tensor panels_of(const Tensor& bytes) {
  const std::int64_t rows = bytes.size(0);
  const std::int64_t columns = bytes.size(1);
  Tensor out = at::zeros({(rows + kGemmPanel - 1) / kGemmPanel, columns, kGemmPanel}, at::kByte);
  const auto* source = static_cast<const std::uint8_t*>(bytes.const_data_ptr());
  auto* target = out.mutable_data_ptr<std::uint8_t>();
  at::parallel_for(0, out.size(0), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t panel = begin; panel < end; ++panel) {
      const std::int64_t count = std::min(kGemmPanel, rows - panel * kGemmPanel);
      for (std::int64_t row = 0; row < count; ++row) {
        const auto* from = source + (panel * kGemmPanel + row) * columns;
        auto* to = target + panel * columns * kGemmPanel + row;
        for (std::int64_t column = 0; column < columns; ++column) {
          to[column * kGemmPanel] = from[column];
        }
      }
    }
  });
  return out;
}

/// The bits of E2M1 code x scale as float32; the sign is the code's bit 3.
inline std::uint32_t product_bits(std::uint32_t code, float scale) {
  // 0, 0.5, then 1 … 6, whose exponent and mantissa are the code's own bits.
  const std::uint32_t magnitude = code & 7;
  const std::uint32_t normal = (magnitude << 22) + 0x3F000000;
  const std::uint32_t half = magnitude == 0 ? 0 : 0x3F000000;
  const std::uint32_t bits = magnitude < 2 ? half : normal;
  const float product = std::bit_cast<float>(bits) * scale;
  return std::bit_cast<std::uint32_t>(product) ^ ((code & 8) << 28);
}

/// `pairs` rows of 64 bytes, two codes each, under 64 scales: bf16 pairs [pairs, 64, 2].
DITQ_VECTOR_CLONES void expand_block(const std::uint8_t* codes,
                                     const float* scales,
                                     std::uint32_t* out,
                                     std::int64_t pairs) {
  for (std::int64_t pair = 0; pair < pairs; ++pair) {
    for (std::int64_t n = 0; n < kGemmPanel; ++n) {
      const std::uint32_t byte = codes[pair * kGemmPanel + n];
      const std::uint32_t even = product_bits(byte & 15, scales[n]);
      const std::uint32_t odd = product_bits(byte >> 4, scales[n]);
      // Exact in bf16: the upper halves are the values.
      out[pair * kGemmPanel + n] = (even >> 16) | (odd & 0xFFFF0000);
    }
  }
}

/// One block of activations; see quantize_nvfp4.
template <typename In>
inline __attribute__((always_inline)) void quantize_block(const In* in,
                                                          BFloat16Bits* out,
                                                          float global,
                                                          float inverse_global) {
  std::array<float, kBlock> values;
  // Magnitudes compare as integers, and NaN is above all of them.
  std::uint32_t largest = 0;
  for (std::int64_t i = 0; i < kBlock; ++i) {
    values[i] = load_float(in + i);
    const std::uint32_t magnitude = std::bit_cast<std::uint32_t>(values[i]) & 0x7FFFFFFF;
    largest = magnitude > largest ? magnitude : largest;
  }
  const float wanted = global * (std::bit_cast<float>(largest) * (1.0F / 6.0F));
  const float scale = nearest_e4m3(wanted > 448.0F ? 448.0F : wanted);
  const float factor = scale == 0 ? 0.0F : 1.0F / (scale * inverse_global);
  for (std::int64_t i = 0; i < kBlock; ++i) {
    const float scaled = values[i] * factor;
    const std::uint32_t sign = std::bit_cast<std::uint32_t>(scaled) & 0x80000000;
    const auto magnitude = std::bit_cast<float>(std::bit_cast<std::uint32_t>(scaled) & 0x7FFFFFFF);
    const float product = nearest_e2m1(magnitude > 6.0F ? 6.0F : magnitude) * scale;
    out[i].bits = static_cast<std::uint16_t>((std::bit_cast<std::uint32_t>(product) | sign) >> 16);
  }
}

template <typename In>
DITQ_VECTOR_CLONES void quantize_blocks(const In* in,
                                        BFloat16Bits* out,
                                        std::int64_t blocks,
                                        float input_scale) {
  const float global = 1.0F / input_scale;
  const float inverse_global = 1.0F / global;
  for (std::int64_t block = 0; block < blocks; ++block) {
    quantize_block(in + block * kBlock, out + block * kBlock, global, inverse_global);
  }
}

template <typename In>
void quantize_all(const Tensor& x, const Tensor& out, float input_scale) {
  const auto* source = reinterpret_cast<const In*>(x.const_data_ptr());
  auto* target = reinterpret_cast<BFloat16Bits*>(out.mutable_data_ptr());
  at::parallel_for(0, x.numel() / kBlock, 1024, [&](std::int64_t begin, std::int64_t end) {
    quantize_blocks(source + begin * kBlock, target + begin * kBlock, end - begin, input_scale);
  });
}

}  // namespace

Nvfp4Weight::Nvfp4Weight(const Tensor& codes, const Tensor& block_scales)
    : out_features_(codes.size(0)), in_features_(codes.size(1) * 2) {
  DITQ_ASSERT(codes.is_contiguous() && block_scales.is_contiguous());
  DITQ_ASSERT(block_scales.size(0) == out_features_ &&
              block_scales.size(1) * kBlock == in_features_);
  codes_ = panels_of(codes);
  block_scales_ = panels_of(block_scales);
}

void Nvfp4Weight::expand(std::int64_t index, BFloat16Panel* panel) const {
  const std::int64_t blocks = in_features_ / kBlock;
  const auto* codes = codes_.const_data_ptr<std::uint8_t>() + index * in_features_ / 2 * kGemmPanel;
  const auto* block_scales =
      block_scales_.const_data_ptr<std::uint8_t>() + index * blocks * kGemmPanel;
  auto* out = reinterpret_cast<std::uint32_t*>(panel);
  std::array<float, kGemmPanel> scales;
  for (std::int64_t block = 0; block < blocks; ++block) {
    for (std::int64_t n = 0; n < kGemmPanel; ++n) {
      scales[n] = e4m3_values()[block_scales[block * kGemmPanel + n]];
    }
    const std::int64_t at = block * kBlock / 2 * kGemmPanel;
    expand_block(codes + at, scales.data(), out + at, kBlock / 2);
  }
}

Tensor Nvfp4Weight::dequantize() const {
  const std::int64_t panels = codes_.size(0);
  Tensor expanded = at::empty({panels, in_features_ / 2, kGemmPanel, 2}, at::kBFloat16);
  auto* target = reinterpret_cast<BFloat16Panel*>(expanded.mutable_data_ptr());
  at::parallel_for(0, panels, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) expand(i, target + i * in_features_ * kGemmPanel);
  });
  return expanded.permute({0, 2, 1, 3})
      .reshape({panels * kGemmPanel, in_features_})
      .narrow(0, 0, out_features_)
      .contiguous();
}

Tensor dequantize_nvfp4(const Tensor& codes, const Tensor& block_scales) {
  DITQ_ASSERT(codes.is_contiguous() && block_scales.is_contiguous());
  const std::int64_t columns = codes.size(1) * 2;
  const Tensor out = at::empty({codes.size(0), columns}, codes.options().dtype(at::kBFloat16));
  cuda().dequantize_nvfp4({.rows = codes.size(0),
                           .columns = columns,
                           .codes = codes.const_data_ptr(),
                           .scales = block_scales.const_data_ptr(),
                           .out = out.data_ptr()});
  return out;
}

namespace {

/// x [M, K] on a GPU.
Tensor quantize_rows(const Tensor& x, float input_scale) {
  DITQ_ASSERT(x.dim() == 2 && x.scalar_type() == at::kBFloat16);
  const Tensor rows = has_vector_rows(x) ? x : x.contiguous();
  const Tensor out = at::empty(x.sizes(), x.options());
  cuda().quantize_nvfp4({.rows = rows.size(0),
                         .columns = rows.size(1),
                         .x = rows.const_data_ptr(),
                         .x_stride = rows.stride(0),
                         .out = out.data_ptr(),
                         .input_scale = input_scale});
  return out;
}

}  // namespace

Tensor quantize_nvfp4(const Tensor& x, float input_scale) {
  if (x.is_cuda()) return quantize_rows(x, input_scale);
  DITQ_ASSERT(x.is_contiguous() && x.size(-1) % kBlock == 0);
  Tensor out = at::empty(x.sizes(), at::kBFloat16);
  if (x.scalar_type() == at::kFloat) {
    quantize_all<float>(x, out, input_scale);
  } else {
    DITQ_ASSERT(x.scalar_type() == at::kBFloat16);
    quantize_all<BFloat16Bits>(x, out, input_scale);
  }
  return out;
}

namespace reference {

Tensor quantize_nvfp4(const Tensor& x, float input_scale) {
  const float global = 1.0F / input_scale;
  const Tensor blocks = x.to(at::kFloat).reshape({-1, kBlock});
  const Tensor wanted = blocks.abs().amax(1, /*keepdim=*/true).mul(1.0F / 6.0F).mul(global);
  const Tensor scale = at::clamp_max(wanted, 448.0).to(at::kFloat8_e4m3fn).to(at::kFloat);
  const Tensor factor =
      at::where(scale.eq(0), at::zeros({}), scale.mul(1.0F / global).reciprocal());
  const Tensor scaled = blocks.mul(factor);
  // Midpoints between neighbours; at a tie the even code, so every second midpoint belongs to the smaller one.
  const Tensor below = at::tensor({0.25F, 1.25F, 2.5F, 5.0F});
  const Tensor above = at::tensor({0.75F, 1.75F, 3.5F});
  const Tensor code = at::bucketize(scaled.abs(), below, /*out_int32=*/false, /*right=*/false)
                          .add(at::bucketize(scaled.abs(), above, false, /*right=*/true));
  const Tensor values = at::tensor({0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F});
  const Tensor element = at::copysign(values.index({code}), scaled);
  return at::where(wanted.isnan(), wanted, element.mul(scale)).reshape(x.sizes()).to(at::kBFloat16);
}

}  // namespace reference
}  // namespace ditq
