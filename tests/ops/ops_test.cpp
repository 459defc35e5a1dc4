// Every fused op against its reference, over shapes of real models first and odd ones after.

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "ops/attention.h"
#include "ops/exp.h"
#include "ops/gemm.h"
#include "ops/modulate.h"
#include "ops/positions.h"
#include "ops/quantize.h"
#include "ops/rope.h"
#include "support/tensors.h"
#include "tensor/create.h"

namespace ditq {
namespace {

struct GemmCase {
  std::int64_t m, n, k;
};

const std::vector<GemmCase> kGemmCases{
    {320, 256, 256}, {256, 1024, 256}, {64, 256, 1024}, {320, 256, 1280}, {17, 3072, 3072},
    {1, 1536, 256},  {1, 1, 2},        {3, 65, 34},     {65, 63, 130},    {2, 64, 7},
};

TEST(Gemm, AgreesWithItsReference) {
  for (const GemmCase& c : kGemmCases) {
    const Tensor x = normal(1, {c.m, c.k}, at::kBFloat16);
    const Tensor weight = normal(2, {c.n, c.k}, at::kBFloat16);
    const GemmEpilogue epilogue{
        .weight_scale = 0.013F, .input_scale = 0.7F, .bias = normal(3, {c.n}, at::kFloat)};
    const Tensor out = empty({c.m, c.n}, at::kFloat);
    gemm(x, PackedWeight(weight), epilogue, out);
    const Tensor expected = reference::gemm(x, weight, epilogue, at::kFloat);
    // Two orders of an f32 sum of k products.
    const double bound = 1e-6 * std::sqrt(static_cast<double>(c.k)) + 1e-6;
    EXPECT_LE(test::relative(out, expected), bound) << c.m << " " << c.n << " " << c.k;
    const Tensor rounded = empty({c.m, c.n}, at::kBFloat16);
    gemm(x, PackedWeight(weight), epilogue, rounded);
    EXPECT_EQ(test::max_abs(rounded, out.to(at::kBFloat16)), 0);
  }
}

TEST(Gemm, FollowsWithGelu) {
  const Tensor x = normal(1, {70, 64}, at::kBFloat16);
  const Tensor weight = normal(2, {200, 64}, at::kBFloat16);
  for (const at::ScalarType dtype : {at::kBFloat16, at::kFloat}) {
    const GemmEpilogue epilogue{.weight_scale = 0.3F, .post_op = PostOp::gelu_tanh};
    const Tensor out = empty({70, 200}, dtype);
    gemm(x, PackedWeight(weight), epilogue, out);
    const Tensor expected = reference::gemm(x, weight, epilogue, dtype);
    // bf16: the same values but for sums that another order moves over a rounding boundary.
    EXPECT_LE(test::relative(out, expected), dtype == at::kFloat ? 1e-5 : 0.005);
    EXPECT_GE(test::cosine(out, expected), 0.999999);
  }
}

TEST(Gemm, WritesIntoViews) {
  const Tensor x = normal(1, {33, 200}, at::kBFloat16).narrow(1, 100, 64);
  const Tensor weight = normal(2, {96, 64}, at::kBFloat16);
  const Tensor whole = filled({33, 300}, 7, at::kBFloat16);
  gemm(x, PackedWeight(weight), {}, whole.narrow(1, 50, 96));
  const Tensor alone = empty({33, 96}, at::kBFloat16);
  gemm(x.contiguous(), PackedWeight(weight), {}, alone);
  EXPECT_EQ(test::max_abs(whole.narrow(1, 50, 96), alone), 0);
  EXPECT_EQ(test::max_abs(whole.narrow(1, 0, 50), filled({33, 50}, 7, at::kBFloat16)), 0);
  EXPECT_EQ(test::max_abs(whole.narrow(1, 146, 154), filled({33, 154}, 7, at::kBFloat16)), 0);
}

TEST(Quantize, EqualsTorchsCastForEveryBf16Value) {
  std::vector<float> values;
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = std::bit_cast<float>(bits << 16);
    if (!std::isnan(value)) values.push_back(value);
  }
  const Tensor x = from_values(values).to(at::kBFloat16);
  for (const float scale : {1.0F, 0.0123F, 3.7F, 1.0F / 448, 1e-9F}) {
    const Tensor expected = reference::quantize_e4m3(x, scale);
    EXPECT_EQ(test::max_abs(quantize_e4m3(x, scale), expected), 0) << scale;
  }
}

TEST(Quantize, EqualsTorchsCastForF32Neighbours) {
  std::vector<float> values;
  for (float value :
       {0.0009765625F, 0.0014648438F, 0.015625F, 17.0F, 19.0F, 447.9F, 448.0F, 464.0F, 1e9F}) {
    for (const float near : {std::nextafterf(value, 0), value, std::nextafterf(value, 1e30F)}) {
      values.push_back(near);
      values.push_back(-near);
    }
  }
  values.push_back(std::numeric_limits<float>::infinity());
  const Tensor x = from_values(values);
  EXPECT_EQ(test::max_abs(quantize_e4m3(x, 1.0F), reference::quantize_e4m3(x, 1.0F)), 0);
}

TEST(Quantize, KeepsNaN) {
  const Tensor x = from_values(std::vector<float>{1.0F, std::nanf(""), 2.0F});
  const Tensor out = quantize_e4m3(x, 1.0F).to(at::kFloat);
  EXPECT_TRUE(std::isnan(out.const_data_ptr<float>()[1]));
  EXPECT_EQ(out.const_data_ptr<float>()[2], 2.0F);
}

struct RowsCase {
  std::int64_t batch, length, hidden;
};

const std::vector<RowsCase> kRowsCases{{1, 320, 256}, {2, 17, 3072}, {1, 1, 16}, {3, 5, 37}};

TEST(Modulate, AgreesWithItsReference) {
  for (const RowsCase& c : kRowsCases) {
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      const Tensor x = normal(1, {c.batch, c.length, c.hidden}, dtype).mul(3).add(1);
      const Tensor both = normal(2, {c.batch, 2 * c.hidden}, dtype);
      const Tensor shift = both.narrow(1, 0, c.hidden);
      const Tensor scale = both.narrow(1, c.hidden, c.hidden);
      const Tensor out = layer_norm_modulate(x, shift, scale);
      const Tensor expected = reference::layer_norm_modulate(x, shift, scale);
      // The same rounding points; in bf16 a statistic's last bit may move one rounding by a unit in the last place.
      EXPECT_LE(test::relative(out, expected), dtype == at::kFloat ? 2e-6 : 0.008) << c.hidden;
      EXPECT_GE(test::cosine(out, expected), dtype == at::kFloat ? 0.9999999 : 0.999999);
    }
  }
}

TEST(Modulate, AddsGatedRowsInPlace) {
  for (const RowsCase& c : kRowsCases) {
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      const Tensor x = normal(1, {c.batch, c.length, c.hidden}, dtype);
      const Tensor gate = normal(2, {c.batch, 3 * c.hidden}, dtype).narrow(1, c.hidden, c.hidden);
      const Tensor y = normal(3, {c.batch, c.length, c.hidden}, dtype);
      const Tensor expected = reference::add_gated(x, gate, y);
      add_gated(x, gate, y);
      // f32 may contract the product and the sum.
      EXPECT_LE(test::relative(x, expected), dtype == at::kFloat ? 1e-6 : 0.0) << c.hidden;
    }
  }
}

struct AttentionCase {
  std::int64_t batch, heads, queries, keys, head_size;
};

TEST(Attention, AgreesWithItsReference) {
  for (const AttentionCase& c : {AttentionCase{1, 2, 320, 320, 128},
                                 {1, 3, 4608, 4608, 128},
                                 {2, 1, 1, 65, 64},
                                 {1, 4, 77, 63, 32},
                                 {1, 2, 65, 1, 2},
                                 {1, 1, 3, 130, 96},
                                 {2, 2, 64, 64, 200},
                                 {1, 4, 520, 63, 32},
                                 {1, 2, 513, 1, 2},
                                 {2, 1, 512, 130, 96},
                                 {1, 2, 576, 640, 200}}) {
    const Tensor q =
        normal(1, {c.batch, c.queries, c.heads, c.head_size}, at::kBFloat16).transpose(1, 2);
    const Tensor k =
        normal(2, {c.batch, c.keys, c.heads, c.head_size}, at::kBFloat16).transpose(1, 2);
    const Tensor v =
        normal(3, {c.batch, c.keys, c.heads, c.head_size}, at::kBFloat16).transpose(1, 2);
    const Tensor out = attention(q, k, v);
    const Tensor expected =
        reference::attention(q.to(at::kFloat), k.to(at::kFloat), v.to(at::kFloat));
    // Weights and result are rounded to bf16 once each.
    EXPECT_LE(test::relative(out, expected), 0.01) << c.queries << " " << c.keys;
    EXPECT_GE(test::cosine(out, expected), 0.99999) << c.queries << " " << c.keys;
    EXPECT_LE(test::relative(out, reference::attention(q, k, v)), 0.01);
  }
}

TEST(Attention, SurvivesHugeScores) {
  for (const std::int64_t tokens : {5, 515}) {
    const Tensor q = normal(1, {1, 1, tokens, 64}, at::kBFloat16).mul(1e4);
    const Tensor v = normal(2, {1, 1, tokens, 64}, at::kBFloat16);
    // Each query picks one key: the result is a row of v.
    const Tensor out = attention(q, q, v);
    EXPECT_LE(test::relative(out, reference::attention(q, q, v)), 0.01);
  }
}

TEST(FastExp, IsWithinTwoUlps) {
  for (float x = -86.9F; x < 88.0F; x += 0.0137F) {
    const double exact = std::exp(static_cast<double>(x));
    EXPECT_LE(std::fabs(fast_exp(x) - exact) / exact, 2.4e-7) << x;
  }
  EXPECT_EQ(fast_exp(-1000.0F), 0.0F);
  EXPECT_EQ(fast_exp(-std::numeric_limits<float>::infinity()), 0.0F);
  EXPECT_EQ(fast_exp(0.0F), 1.0F);
  EXPECT_TRUE(std::isnan(fast_exp(std::nanf(""))));
}

TEST(CoarseExp, IsAsGoodAsWeightsInBf16Need) {
  for (float x = -86.9F; x <= 0.0F; x += 0.0137F) {
    const double exact = std::exp(static_cast<double>(x));
    // A sixteenth of what rounding to bf16 loses.
    EXPECT_LE(std::fabs(coarse_exp(x) - exact) / exact, 2e-4) << x;
  }
  EXPECT_EQ(coarse_exp(-1000.0F), 0.0F);
  EXPECT_EQ(coarse_exp(-std::numeric_limits<float>::infinity()), 0.0F);
  EXPECT_TRUE(std::isnan(coarse_exp(std::nanf(""))));
}

TEST(Rope, AgreesWithItsReference) {
  const std::vector<std::int64_t> axes{16, 56, 56};
  const Rope rope = make_rope(grid_positions(5, 3, 4), axes, 10000.0);
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const Tensor whole = normal(1, {2, 17, 3, 2, 128}, dtype);
    const Tensor x = whole.select(2, 1);  // a view with gaps
    const Tensor weight = normal(2, {128}, dtype);
    const Tensor expected = reference::rms_norm_rope(x, weight, rope);
    rms_norm_rope(x, weight, rope);
    EXPECT_LE(test::relative(x, expected), dtype == at::kFloat ? 2e-6 : 0.008);
    EXPECT_GE(test::cosine(x, expected), 0.999999);
  }
}

TEST(Rope, TablesAreThoseOfDiffusers) {
  const auto file = test::data("engine") / "layers_fp32.safetensors";
  const std::vector<std::int64_t> axes{16, 56, 56};
  const Rope rope = make_rope(grid_positions(64, 16, 16), axes, 10000.0);
  const auto thinned = [](const Tensor& x) {
    return x.slice(0, 0, x.size(0), 32).repeat_interleave(2, 1);
  };
  EXPECT_EQ(test::max_abs(thinned(rope.cos), test::load(file, "pos_embed.0")), 0);
  EXPECT_EQ(test::max_abs(thinned(rope.sin), test::load(file, "pos_embed.1")), 0);
}

}  // namespace
}  // namespace ditq
