#include "ops/attention_fp8.h"

#include <cmath>

#include <gtest/gtest.h>

#include "ops/attention.h"
#include "ops/positions.h"
#include "support/tensors.h"
#include "tensor/create.h"

namespace ditq {
namespace {

constexpr std::int64_t kTokens = 50;
constexpr std::int64_t kHeads = 3;
constexpr std::int64_t kChannels = 64;

/// A layer's queries, keys and values, and its norms' weights.
struct Layer {
  Tensor qkv = normal(1, {2, kTokens, 3, kHeads, kChannels}, at::kFloat).mul(2).to(at::kBFloat16);
  Tensor weight = normal(2, {kChannels}, at::kFloat).mul(0.3).add(1).to(at::kBFloat16);
  Rope rope = make_rope(grid_positions(0, kTokens, 1), {16, 32, 16}, 10000);
  AttentionScales scales;

  explicit Layer(float out = 0)
      : scales(largest_after_norm(weight) / 448, largest_after_norm(weight) / 448, out, at::kCPU) {}

  JointQk qk(const Tensor& all) const {
    return {.q = all.select(2, 0),
            .k = all.select(2, 1),
            .text_tokens = 0,
            .text_q = {},
            .text_k = {},
            .image_q = weight,
            .image_k = weight};
  }
  QkvCodes codes() const {
    const Tensor all = qkv.clone();
    return joint_norm_rope_e4m3(qk(all), all.select(2, 2), rope, scales,
                                filled({3}, 0, at::kFloat));
  }
  /// Attention in bf16, [B, L, D].
  Tensor plain() const {
    const Tensor all = qkv.clone();
    joint_norm_rope(qk(all), rope);
    const auto part = [&](std::int64_t i) { return all.select(2, i).transpose(1, 2); };
    return reference::attention(part(0), part(1), part(2)).transpose(1, 2).flatten(2);
  }
};

Tensor run(const Layer& layer) {
  const QkvCodes codes = layer.codes();
  const Tensor out = empty({2, kTokens, kHeads * kChannels}, at::kFloat8_e4m3fn);
  attention_e4m3(codes, layer.scales, out);
  const Tensor values = empty(out.sizes(), at::kFloat);
  dequantize_into(out, layer.scales.out_scale(codes.v_scale), values);
  return values;
}

TEST(AttentionFp8, BoundsWhatNormAndRopeLeave) {
  const Layer layer;
  const Tensor all = layer.qkv.clone();
  // One channel holds everything: the largest value that a norm can leave.
  all.select(2, 0).zero_();
  all.select(2, 0).select(3, 7).fill_(30);
  joint_norm_rope(layer.qk(all), layer.rope);
  const double bound = static_cast<double>(largest_after_norm(layer.weight));
  EXPECT_LE(all.narrow(2, 0, 2).abs().max().to(at::kDouble).item<double>(), bound * 1.01);
}

TEST(AttentionFp8, CodesAreTheValuesUnderTheirScales) {
  const Layer layer;
  const QkvCodes codes = layer.codes();
  const Tensor all = layer.qkv.clone();
  joint_norm_rope(layer.qk(all), layer.rope);
  const float scales[] = {layer.scales.q, layer.scales.k, codes.v_scale.const_data_ptr<float>()[0]};
  const Tensor parts[] = {codes.q, codes.k, codes.v};
  for (std::int64_t i = 0; i < 3; ++i) {
    const Tensor values = all.select(2, i).to(at::kFloat);
    // Half a step of E4M3's three bits, or of its smallest values.
    const Tensor step = values.abs().div(16).clamp_min(scales[i] / 1024);
    EXPECT_TRUE(parts[i]
                    .to(at::kFloat)
                    .mul(scales[i])
                    .sub(values)
                    .abs()
                    .le(step.mul(1.001))
                    .all()
                    .item<bool>());
  }
  // The largest value has the largest code.
  EXPECT_EQ(codes.v.to(at::kFloat).abs().max().item<float>(), 448);
}

TEST(AttentionFp8, StaysCloseToAttentionInBf16) {
  const double cosine = test::cosine(run(Layer()), Layer().plain());
  // Weights and results of four significant bits: 2.6 % each of a value, by chance.
  EXPECT_GE(cosine, 0.998);
  EXPECT_LT(cosine, 0.99999);
}

TEST(AttentionFp8, TakesTheNextLayersScaleForItsResult) {
  const Layer own;
  const Layer given(0.02F);
  const Tensor out = run(given);
  EXPECT_GE(test::cosine(out, own.plain()), 0.998);
  // Multiples of the smallest code of that scale.
  const Tensor units = out.div(0.02F / 512);
  EXPECT_LE(test::max_abs(units, units.round()), 1e-2);
}

TEST(AttentionFp8, GivesZerosForZerosAndNaNForNaN) {
  Layer layer;
  layer.qkv.select(2, 2).zero_();
  EXPECT_EQ(test::max_abs(run(layer), empty({2, kTokens, kHeads * kChannels}, at::kFloat).zero_()),
            0);
  layer.qkv.select(2, 2)[0][3][1][5].fill_(std::nan(""));
  EXPECT_TRUE(std::isnan(run(layer)[0][0][kChannels].item<float>()));
}

TEST(AttentionFp8, SaysWhyItDoesNotRun) {
  const AttentionExtents extents{
      .batch = 1, .tokens = 5, .heads = 2, .head_dim = 64, .out_row_stride = 128};
  EXPECT_EQ(why_no_attention_e4m3(extents, at::kCPU, at::kBFloat16), "");
  EXPECT_NE(why_no_attention_e4m3(extents, at::kCPU, at::kFloat), "");
}

}  // namespace
}  // namespace ditq
