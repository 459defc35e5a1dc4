#include "ops/nvfp4.h"

#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "quant/nvfp4.h"
#include "support/random_nvfp4.h"
#include "support/tensors.h"
#include "tensor/create.h"

namespace ditq {
namespace {

using test::RandomWeight;

TEST(Nvfp4, PackedWeightHoldsExactlyWhatTheCheckpointDoes) {
  for (const auto& [n, k] : {std::pair<std::int64_t, std::int64_t>{64, 16},
                             {1, 16},
                             {65, 48},
                             {200, 1040},
                             {256, 256}}) {
    const RandomWeight weight(static_cast<std::uint32_t>(n), n, k);
    const Nvfp4Weight packed(weight.codes, weight.scales);
    const Tensor values = packed.dequantize();
    ASSERT_EQ(values.sizes(), weight.values.sizes());
    EXPECT_EQ(test::max_abs(values, weight.values), 0) << n << "x" << k;
  }
}

TEST(Nvfp4, PackedWeightTakesFourAndAHalfBitsWhereRowsFillPanels) {
  const RandomWeight weight(1, 256, 1024);
  EXPECT_EQ(Nvfp4Weight(weight.codes, weight.scales).nbytes(), 256 * 1024 * 9 / 16);
}

TEST(Nvfp4, ProductEqualsThatOfTheDequantizedWeightBitForBit) {
  for (const auto& [m, n, k] : std::initializer_list<std::array<std::int64_t, 3>>{
           {1, 64, 16}, {5, 65, 48}, {64, 128, 256}, {130, 200, 1040}}) {
    const RandomWeight weight(7, n, k);
    const Tensor x = normal(3, {m, k}, at::kBFloat16);
    const Tensor bias = normal(4, {n}, at::kBFloat16).to(at::kFloat);
    for (const bool after : {false, true}) {
      const GemmEpilogue epilogue{.weight_scale = 0.01F,
                                  .bias = bias,
                                  .bias_after_rounding = after,
                                  .post_op = after ? PostOp::gelu_tanh : PostOp::none};
      const Tensor packed = empty({m, n}, at::kBFloat16);
      const Tensor plain = empty({m, n}, at::kBFloat16);
      gemm(x, Nvfp4Weight(weight.codes, weight.scales), epilogue, packed);
      gemm(x, PackedWeight(weight.values.to(at::kBFloat16)), epilogue, plain);
      EXPECT_EQ(test::max_abs(packed, plain), 0) << m << " " << n << " " << k;
    }
  }
}

TEST(Nvfp4, ABiasAfterRoundingIsAddedToTheRoundedProduct) {
  const RandomWeight weight(9, 64, 32);
  const Tensor x = normal(1, {8, 32}, at::kBFloat16);
  const Tensor bias = normal(2, {64}, at::kBFloat16);
  const Tensor out = empty({8, 64}, at::kBFloat16);
  gemm(x, Nvfp4Weight(weight.codes, weight.scales),
       {.bias = bias.to(at::kFloat), .bias_after_rounding = true}, out);
  const Tensor exact = x.to(at::kDouble).matmul(weight.values.to(at::kDouble).t());
  EXPECT_EQ(test::max_abs(out, exact.to(at::kBFloat16).add(bias)), 0);
}

TEST(Nvfp4, ActivationsEqualTheDefinition) {
  for (const auto& shape : std::initializer_list<std::vector<std::int64_t>>{
           {1, 16}, {3, 48}, {2, 7, 64}, {320, 256}, {5, 3072}}) {
    for (const float spread : {1e-3F, 1.0F, 300.0F}) {
      for (const at::ScalarType dtype : {at::kBFloat16, at::kFloat}) {
        const Tensor x = normal(11, shape, at::kFloat).mul(spread).to(dtype);
        for (const float scale : {1.0F, 0.0021F, 1e-5F, 3.0F}) {
          EXPECT_TRUE(quantize_nvfp4(x, scale).equal(reference::quantize_nvfp4(x, scale)))
              << "spread " << spread << " scale " << scale;
        }
      }
    }
  }
}

/// One block: `values`, then zeros up to 16.
Tensor block(std::vector<float> values) {
  values.resize(16);
  return from_values(values).reshape({1, 16});
}

TEST(Nvfp4, TiesGoToTheEvenCodeAndLargeValuesSaturate) {
  // The largest value is 6 x 448, so with input_scale 1 the block scale is 448 and elements are multiples of it.
  std::vector<float> ties{6, 0.25F, 0.75F, 1.25F, 1.75F, 2.5F, 3.5F, 5, -5, -0.75F, 7};
  std::vector<float> expected{6, 0, 1, 1, 2, 2, 4, 4, -4, -1, 6};
  for (float& value : ties) value *= 448;
  for (float& value : expected) value *= 448;
  EXPECT_EQ(test::max_abs(quantize_nvfp4(block(ties), 1), block(expected)), 0);
}

TEST(Nvfp4, ABlockThatUnderflowsIsZeroAndNanStaysNan) {
  const Tensor tiny = quantize_nvfp4(block({1e-6F, -1e-6F}), 1);
  EXPECT_EQ(test::max_abs(tiny, block({})), 0);
  const Tensor mixed = quantize_nvfp4(block({1, std::nanf("")}), 1);
  EXPECT_TRUE(mixed.isnan().all().item<bool>());
  EXPECT_TRUE(reference::quantize_nvfp4(block({1, std::nanf("")}), 1).isnan().all().item<bool>());
}

}  // namespace
}  // namespace ditq
