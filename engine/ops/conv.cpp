#include "ops/conv.h"

#include <array>

#include <ATen/ops/conv2d.h>
#include <ATen/ops/conv_transpose2d.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/upsample_nearest2d.h>
#include <ATen/ops/zeros.h>

#include "base/error.h"

namespace ditq {

Tensor channels_last(const Tensor& x) {
  return x.contiguous(at::MemoryFormat::ChannelsLast);
}

Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const std::int64_t kernel = weight.size(2);
  DITQ_ASSERT(kernel % 2 == 1 && weight.size(3) == kernel);
  const Tensor input = channels_last(x);
  if (kernel == 1) {
    // A matrix product over the pixels: torch takes a slow path for f32 convolutions of this kind.
    const Tensor pixels = input.permute({0, 2, 3, 1});
    const Tensor matrix = weight.reshape({weight.size(0), weight.size(1)});
    return at::linear(pixels, matrix, bias).permute({0, 3, 1, 2});
  }
  return channels_last(at::conv2d(input, weight, bias, /*stride=*/1, /*padding=*/kernel / 2));
}

Tensor upsample_conv2d_weight(const Tensor& weight) {
  DITQ_ASSERT(weight.size(2) == 3 && weight.size(3) == 3);
  // In one dimension, input i is the pixel pair (2i, 2i + 1). Pixel 2i sees w0 x[i-1] + (w1 + w2)
  // x[i], pixel 2i + 1 sees (w0 + w1) x[i] + w2 x[i+1]. As a transposed convolution (tap k of input
  // i goes to pixel 2i - 1 + k), the taps are w2, w1 + w2, w0 + w1, w0.
  constexpr std::array<std::array<bool, 3>, 4> kTaps{
      {{false, false, true}, {false, true, true}, {true, true, false}, {true, false, false}}};
  const Tensor wide = weight.to(at::kFloat);
  Tensor out = at::zeros({weight.size(1), weight.size(0), 4, 4}, wide.options());
  for (std::int64_t row = 0; row < 16; ++row) {
    const auto [i, j] = std::div(row, std::int64_t{4});
    Tensor tap = out.select(2, i).select(2, j);
    for (std::int64_t cell = 0; cell < 9; ++cell) {
      const auto [k, l] = std::div(cell, std::int64_t{3});
      const bool used = kTaps.at(static_cast<std::size_t>(i)).at(static_cast<std::size_t>(k)) &&
                        kTaps.at(static_cast<std::size_t>(j)).at(static_cast<std::size_t>(l));
      if (used) tap.add_(wide.select(2, k).select(2, l).t());
    }
  }
  return channels_last(out.to(weight.scalar_type()));
}

Tensor upsample_conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  return channels_last(at::conv_transpose2d(channels_last(x), weight, bias, /*stride=*/2,
                                            /*padding=*/1));
}

namespace reference {

Tensor upsample_conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const Tensor large = at::upsample_nearest2d(x, {2 * x.size(2), 2 * x.size(3)});
  return at::conv2d(large, weight, bias, /*stride=*/1, /*padding=*/1);
}

}  // namespace reference
}  // namespace ditq
