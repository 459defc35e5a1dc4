#include "ops/conv.h"

#include <ATen/Context.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

namespace ditq::test {
namespace {

double relative_error(const Tensor& ours, const Tensor& exact) {
  return (ours.to(at::kDouble).sub(exact).norm().item<double>()) / exact.norm().item<double>();
}

struct Case {
  std::int64_t batch, in, out, height, width, kernel;
};

const std::vector<Case> kCases = {{1, 96, 96, 32, 32, 3}, {2, 16, 96, 5, 9, 3}, {1, 32, 3, 1, 7, 3},
                                  {2, 64, 32, 6, 4, 1},   {1, 1, 1, 3, 3, 3},   {1, 8, 8, 1, 1, 1}};

TEST(Conv, AgreesWithConvolutionInF64) {
  at::manual_seed(1);
  for (const Case& c : kCases) {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      const Tensor x = at::randn({c.batch, c.in, c.height, c.width}).to(type);
      const Tensor weight = at::randn({c.out, c.in, c.kernel, c.kernel}).to(type);
      const Tensor bias = at::randn({c.out}).to(type);
      const Tensor exact = at::conv2d(x.to(at::kDouble), weight.to(at::kDouble),
                                      bias.to(at::kDouble), 1, c.kernel / 2);
      const Tensor ours = conv2d(x, channels_last(weight), bias);
      EXPECT_EQ(ours.sizes(), exact.sizes());
      EXPECT_TRUE(ours.is_contiguous(at::MemoryFormat::ChannelsLast));
      // One rounding of the result: 2^-9 at most, half of it on average.
      EXPECT_LT(relative_error(ours, exact), type == at::kFloat ? 1e-6 : 3e-3);
    }
  }
}

TEST(Conv, UpsamplesAndConvolvesInOneStep) {
  at::manual_seed(1);
  for (const Case& c : kCases) {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      const Tensor x = at::randn({c.batch, c.in, c.height, c.width}).to(type);
      const Tensor weight = at::randn({c.out, c.in, 3, 3}).to(type);
      const Tensor bias = at::randn({c.out}).to(type);
      const Tensor exact = reference::upsample_conv2d(x.to(at::kDouble), weight.to(at::kDouble),
                                                      bias.to(at::kDouble));
      const Tensor ours = upsample_conv2d(x, upsample_conv2d_weight(weight), bias);
      EXPECT_EQ(ours.sizes(), exact.sizes());
      EXPECT_TRUE(ours.is_contiguous(at::MemoryFormat::ChannelsLast));
      // Sums of weights are rounded as well as the result.
      EXPECT_LT(relative_error(ours, exact), type == at::kFloat ? 1e-6 : 4e-3);
    }
  }
}

}  // namespace
}  // namespace ditq::test
