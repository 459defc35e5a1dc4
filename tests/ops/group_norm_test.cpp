#include "ops/group_norm.h"

#include <ATen/Context.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include "ops/conv.h"

namespace ditq::test {
namespace {

struct Case {
  std::int64_t batch, channels, groups, height, width;
  double offset;
};

// Odd sizes leave tails of every vector width; an offset far above the spread tests the sums.
const std::vector<Case> kCases = {
    {1, 96, 16, 32, 32, 0}, {2, 32, 32, 17, 23, 1}, {1, 9, 3, 1, 5, 0}, {1, 64, 16, 64, 64, 30}};

TEST(GroupNorm, AgreesWithTheDefinitionInF64) {
  at::manual_seed(1);
  for (const Case& c : kCases) {
    for (const bool silu : {false, true}) {
      const Tensor x = at::randn({c.batch, c.channels, c.height, c.width}).add(c.offset);
      const Tensor weight = at::randn({c.channels});
      const Tensor bias = at::randn({c.channels});
      const GroupNormOptions options{.groups = c.groups, .silu = silu};
      const Tensor exact = reference::group_norm(x.to(at::kDouble), weight.to(at::kDouble),
                                                 bias.to(at::kDouble), options);
      const Tensor ours = group_norm(channels_last(x), weight, bias, options);
      EXPECT_TRUE(ours.is_contiguous(at::MemoryFormat::ChannelsLast) || c.height == 1);
      // Some units in the last place of the largest value; with an offset, two terms cancel.
      const double largest = exact.abs().max().item<double>();
      EXPECT_LT(ours.to(at::kDouble).sub(exact).abs().max().item<double>(),
                1e-6 * largest * (1 + c.offset))
          << c.channels << " channels, offset " << c.offset;
    }
  }
}

TEST(GroupNorm, RoundsInBf16WhereTheTwoOperationsDo) {
  at::manual_seed(1);
  for (const Case& c : kCases) {
    const Tensor x =
        at::randn({c.batch, c.channels, c.height, c.width}).add(c.offset).to(at::kBFloat16);
    const Tensor weight = at::randn({c.channels}).to(at::kBFloat16);
    const Tensor bias = at::randn({c.channels}).to(at::kBFloat16);
    const GroupNormOptions options{.groups = c.groups, .silu = true};
    const Tensor expected = reference::group_norm(x, weight, bias, options);
    const Tensor ours = group_norm(x, weight, bias, options);
    EXPECT_EQ(ours.scalar_type(), at::kBFloat16);
    // Equal but where a value lies next to the middle of two bf16 values: statistics differ in the
    // last bits.
    const Tensor differs = ours.ne(expected).to(at::kDouble);
    EXPECT_LT(differs.mean().item<double>(), 0.02);
    EXPECT_TRUE(ours.to(at::kFloat).allclose(expected.to(at::kFloat), 1.0 / 64, 1e-3));
  }
}

TEST(GroupNorm, GivesSiluOfLargeValues) {
  at::manual_seed(1);
  // Two groups of one channel: values of ±1 before the weight.
  const Tensor x = at::randn({1, 2, 1, 2});
  for (int c = 0; c < 2; ++c) {
    x.select(1, c).select(1, 0).select(1, 0).fill_(-1);
    x.select(1, c).select(1, 0).select(1, 1).fill_(1);
  }
  const Tensor weight = at::randn({2}).fill_(200);
  const Tensor bias = at::randn({2}).fill_(0);
  const Tensor y =
      group_norm(x, weight, bias, {.groups = 2, .eps = 1e-12, .silu = true}).contiguous();
  const float* values = y.const_data_ptr<float>();
  EXPECT_NEAR(values[0], 0.0F, 1e-30F);
  EXPECT_NEAR(values[1], 200.0F, 1e-3F);
}

}  // namespace
}  // namespace ditq::test
