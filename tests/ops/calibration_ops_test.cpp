#include <bit>
#include <limits>

#include <gtest/gtest.h>

#include "ops/abs_max.h"
#include "ops/fake_quantize.h"
#include "ops/low_rank.h"
#include "ops/smoothing.h"
#include "support/tensors.h"
#include "tensor/create.h"

namespace ditq {
namespace {

/// A tensor's values, and views of it as networks hand them out.
std::vector<Tensor> views(at::ScalarType dtype) {
  const Tensor all = normal(1, {2, 37, 3, 5, 48}, dtype);
  return {all,
          all.select(2, 1),
          all.narrow(1, 3, 9),
          all.flatten(2).narrow(2, 100, 33),
          all.transpose(0, 1),
          all.transpose(3, 4),
          all[1][2][0][3][7],
          normal(2, {1, 40000}, dtype)};
}

TEST(AbsMax, EqualsTheDefinitionForEveryView) {
  for (const at::ScalarType dtype : {at::kBFloat16, at::kFloat}) {
    for (const Tensor& x : views(dtype)) {
      const Tensor found = abs_max(x);
      EXPECT_EQ(found.scalar_type(), dtype);
      EXPECT_EQ(found.dim(), 0);
      EXPECT_EQ(found.item<float>(), reference::abs_max(x).item<float>()) << x.sizes();
    }
  }
}

TEST(AbsMax, FindsTheLargestWhereverItStands) {
  for (std::int64_t i = 0; i < 3 * 70; i += 11) {
    const Tensor x = filled({3, 70}, 0.5, at::kBFloat16);
    x.view({-1})[i].fill_(-2.25);
    EXPECT_EQ(abs_max(x).item<float>(), 2.25F) << i;
  }
}

TEST(AbsMax, PassesOnWhatIsNotFinite) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const at::ScalarType dtype : {at::kBFloat16, at::kFloat}) {
    const Tensor x = normal(3, {5, 64}, dtype);
    x[2][3].fill_(-infinity);
    EXPECT_EQ(abs_max(x).item<float>(), infinity);
    x[4][63].fill_(std::numeric_limits<float>::quiet_NaN());
    EXPECT_TRUE(abs_max(x).isnan().item<bool>());
  }
}

TEST(FakeQuantizeNvfp4, EqualsTheDefinitionBitForBit) {
  for (const at::ScalarType dtype : {at::kBFloat16, at::kFloat}) {
    const Tensor w = normal(4, {40, 160}, dtype);
    // Blocks that saturate, are flushed to zero, and are zero.
    w.narrow(0, 0, 1).mul_(100);
    w.narrow(0, 1, 1).mul_(1e-7);
    w.narrow(0, 2, 1).zero_();
    EXPECT_TRUE(fake_quantize_nvfp4(w).equal(reference::fake_quantize_nvfp4(w)));
  }
  const Tensor zeros = filled({2, 32}, 0, at::kBFloat16);
  EXPECT_TRUE(fake_quantize_nvfp4(zeros).equal(zeros));
}

TEST(FakeQuantizeNvfp4, GivesTheWorkedExample) {
  // 32 values whose amax is 9.5; source: the calibration examples of the ModelOpt reference.
  const Tensor x = from_values(std::vector<float>{
      -1.17884171F,  -1.14816070F,  0.669468939F,  9.5F,          -0.143383846F, -2.25607729F,
      1.10097158F,   0.202898115F,  1.35631597F,   -0.504182577F, 0.398194909F,  -0.285877377F,
      -0.738326967F, 0.145324335F,  -1.25720751F,  -0.354661793F, 0.696595669F,  0.0575289652F,
      -0.410288215F, 2.18947029F,   0.0581726469F, -0.586839497F, 0.159565896F,  -0.522800267F,
      -0.385103971F, -0.350207716F, 2.02525568F,   0.0225861594F, 0.175562263F,  0.674201250F,
      2.01687884F,   -0.223677471F});
  const Tensor expected = from_values(std::vector<float>{
      -0.791666687F, -0.791666687F, 0.791666687F, 9.5F,          0.0F,         -2.375F,
      0.791666687F,  0.0F,          1.58333337F,  -0.791666687F, 0.791666687F, 0.0F,
      -0.791666687F, 0.0F,          -1.58333337F, 0.0F,          0.735119045F, 0.0F,
      -0.36755952F,  2.20535707F,   0.0F,         -0.551339269F, 0.183779761F, -0.551339269F,
      -0.36755952F,  -0.36755952F,  2.20535707F,  0.0F,          0.183779761F, 0.735119045F,
      2.20535707F,   -0.183779761F});
  EXPECT_EQ(test::max_abs(fake_quantize_nvfp4(x.view({1, 32})), expected.view({1, 32})), 0);
}

TEST(FakeQuantizeE4m3, GivesTheWorkedExampleInPlace) {
  const Tensor x = from_values(std::vector<float>{0.1F, -0.37F, 1.25F, 2.9990001F, -3.0F, 3.1F,
                                                  -7.5F, 0.0F, 1e-4F, 0.0078125F});
  const std::vector<std::uint32_t> expected{0x3dcdb6db, 0xbebfffff, 0x3fa49248, 0x403fffff,
                                            0xc03fffff, 0x403fffff, 0xc03fffff, 0x00000000,
                                            0x38db6db6, 0x3bf6db6d};
  fake_quantize_e4m3(x, filled({}, 3, at::kFloat));
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(std::bit_cast<std::uint32_t>(x.const_data_ptr<float>()[i]), expected[i]) << i;
  }
}

TEST(Smoothing, AShortLastBlockCountsAsPaddedWithZeros) {
  const Tensor w = normal(5, {6, 40}, at::kFloat);
  const Tensor padded = filled({6, 48}, 0, at::kFloat);
  padded.narrow(1, 0, 40).copy_(w);
  EXPECT_TRUE(block_relative_mean(w, 16).equal(block_relative_mean(padded, 16).narrow(0, 0, 40)));
}

TEST(LowRank, IsTheMatrixWhereTheRankSuffices) {
  const Tensor w = normal(6, {8, 20}, at::kFloat);
  const LowRank factors = low_rank(w, 11);
  EXPECT_EQ(factors.a.sizes(), at::IntArrayRef({11, 20}));
  EXPECT_EQ(factors.b.sizes(), at::IntArrayRef({8, 11}));
  // f32 factors of an f64 decomposition: a few roundings of 8 products.
  EXPECT_LE(test::relative(product(factors), w), 1e-6);
  EXPECT_EQ(factors.b.narrow(1, 8, 3).abs().max().item<float>(), 0);
}

}  // namespace
}  // namespace ditq
