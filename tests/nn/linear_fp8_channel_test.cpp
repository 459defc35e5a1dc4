// FP8 per channel and token: the layer against its definition in binary64, its forms on disk, and what it refuses; and the
// layer that switches between two weights.

#include <cmath>

#include <gtest/gtest.h>

#include "base/error.h"
#include "nn/linear.h"
#include "ops/quantize.h"
#include "support/tensors.h"
#include "support/weights_file.h"
#include "tensor/create.h"
#include "tensor/layer_switch.h"

namespace ditq {
namespace {

using test::WeightsFile;

const QuantConfig kDeclared{.scheme = Scheme::fp8_channel_token, .ignore = {}};

/// Codes with a scale for each row, rows of very different size.
WeightsFile channel_layer(std::int64_t n, std::int64_t k, bool column) {
  const Tensor sizes = normal(7, {n, 1}, at::kFloat).exp().mul(0.01);
  const Tensor weight = normal(8, {n, k}, at::kFloat).mul(sizes);
  const Tensor scales = std::get<0>(weight.abs().max(1, /*keepdim=*/true)).div(448.0);
  WeightsFile file;
  file.add("layer.weight", weight.div(scales).to(at::kFloat8_e4m3fn));
  file.add("layer.weight_scale", column ? scales : scales.squeeze(1).contiguous());
  file.add("layer.bias", normal(9, {n}, at::kBFloat16));
  return file;
}

/// bf16 of the definition, with exact sums.
Tensor defined(const Weights& w, const Tensor& x) {
  const RowQuantized input = reference::quantize_e4m3_rows(x);
  const Tensor codes = w.raw("layer.weight").to(at::kDouble);
  return input.values.to(at::kDouble)
      .matmul(codes.t())
      .mul(w.raw("layer.weight_scale").to(at::kDouble).reshape({1, -1}))
      .mul(input.scales.to(at::kDouble).unsqueeze(1))
      .add(w.raw("layer.bias").to(at::kDouble));
}

TEST(LinearFp8Channel, EqualsItsDefinitionWithinHalfAnUlp) {
  const std::pair<std::int64_t, std::int64_t> sizes[] = {{256, 256}, {1, 64}, {65, 130}, {3, 34}};
  for (const auto& [n, k] : sizes) {
    for (const bool column : {false, true}) {
      const Weights w = channel_layer(n, k, column).open(at::kBFloat16, kDeclared);
      const Linear linear(w / "layer", k, n);
      const Tensor tokens = normal(3, {67, 1}, at::kFloat).exp();
      const Tensor x = normal(4, {67, k}, at::kFloat).mul(tokens).to(at::kBFloat16);
      // One rounding to bf16; before it f32 sums of k products, whose last bits show where the bias cancels them.
      EXPECT_LE(test::bf16_ulps(linear(x), defined(w, x)), 0.6) << n << " " << k;
      EXPECT_EQ(w.layers().front().scheme, "fp8-channel-token");
    }
  }
}

TEST(LinearFp8Channel, RunsInF32) {
  const Weights w = channel_layer(96, 256, false).open(at::kFloat, kDeclared);
  const Tensor x = normal(4, {9, 256}, at::kFloat);
  EXPECT_LE(test::relative(Linear(w / "layer", 256, 96)(x), defined(w, x)), 1e-5);
}

TEST(LinearFp8Channel, IsKnownByItsShapeWhereNothingIsDeclared) {
  const Weights w = channel_layer(96, 64, true).open();
  EXPECT_EQ(Linear(w / "layer", 64, 96).out_features(), 96);
  EXPECT_EQ(w.layers().front().scheme, "fp8-channel-token");
}

TEST(LinearFp8Channel, IgnoredLayerIsDequantizedRowByRow) {
  const Weights w = channel_layer(96, 64, true)
                        .open(at::kFloat, {.scheme = Scheme::fp8_channel_token, .ignore = {"*"}});
  const Tensor x = normal(4, {9, 64}, at::kFloat);
  const Tensor weight = w.raw("layer.weight").to(at::kFloat).mul(w.raw("layer.weight_scale"));
  const Tensor expected = x.matmul(weight.t()).add(w.raw("layer.bias").to(at::kFloat));
  EXPECT_LE(test::relative(Linear(w / "layer", 64, 96)(x), expected), 1e-5);
}

TEST(LinearFp8Channel, RefusesScalesThatCannotBeRight) {
  const Tensor codes = normal(1, {8, 16}, at::kFloat).to(at::kFloat8_e4m3fn);
  const auto error_with = [&](const Tensor& scales, bool input) {
    WeightsFile file;
    file.add("layer.weight", codes);
    file.add("layer.weight_scale", scales);
    if (input) file.add("layer.input_scale", filled({1}, 1, at::kFloat));
    return test::build_error(file, 16, 8, kDeclared);
  };
  const Tensor good = filled({8, 1}, 0.5, at::kFloat);
  Tensor zero = good.clone();
  zero.select(0, 3).fill_(0);
  EXPECT_EQ(error_with(zero, false), ErrorCode::bad_scale);
  EXPECT_EQ(error_with(filled({8}, INFINITY, at::kFloat), false), ErrorCode::bad_scale);
  EXPECT_EQ(error_with(good.to(at::kBFloat16), false), ErrorCode::wrong_dtype);
  EXPECT_EQ(error_with(filled({4}, 1, at::kFloat), false), ErrorCode::wrong_shape);
  EXPECT_EQ(error_with(good, true), ErrorCode::bad_config);
}

TEST(QuantizeRows, AgreesWithItsReference) {
  for (const at::ScalarType dtype : {at::kBFloat16, at::kFloat}) {
    Tensor x = normal(5, {37, 131}, at::kFloat).to(dtype);
    x.select(0, 3).fill_(0);
    x.select(0, 4).fill_(1e-30);
    x.select(0, 5).mul_(1e30);
    x.select(0, 6).fill_(-0.0);
    const RowQuantized found = quantize_e4m3_rows(x);
    const RowQuantized expected = reference::quantize_e4m3_rows(x);
    EXPECT_TRUE(found.values.equal(expected.values));
    EXPECT_TRUE(found.scales.equal(expected.scales));
    EXPECT_EQ(found.values.select(0, 3).abs().max().item<float>(), 0.0F);
  }
}

TEST(QuantizeRows, ReadsRowsOfAView) {
  const Tensor all = normal(6, {12, 64}, at::kBFloat16);
  const Tensor view = all.narrow(1, 16, 32);
  EXPECT_TRUE(quantize_e4m3_rows(view).values.equal(quantize_e4m3_rows(view.contiguous()).values));
}

TEST(QuantizeRows, NaNStaysVisible) {
  Tensor x = normal(6, {3, 40}, at::kFloat);
  x.select(0, 1).select(0, 7).fill_(std::nan(""));
  const RowQuantized found = quantize_e4m3_rows(x);
  EXPECT_TRUE(found.values.select(0, 1).isnan().any().item<bool>());
  EXPECT_FALSE(found.values.select(0, 0).isnan().any().item<bool>());
}

TEST(LinearSwitched, RunsTheWeightThatTheSwitchChooses) {
  WeightsFile plain;
  plain.add("layer.weight", normal(1, {96, 64}, at::kBFloat16));
  plain.add("layer.bias", normal(2, {96}, at::kBFloat16));
  const Weights quantized = channel_layer(96, 64, true).open(at::kBFloat16, kDeclared);
  const auto layers = std::make_shared<LayerSwitch>(
      std::shared_ptr<const TensorView>(&quantized.tensors(), [](const TensorView*) {}), kDeclared);
  const Weights w = plain.open({.layer_switch = layers});
  const Linear linear(w / "layer", 64, 96);
  const Tensor x = normal(3, {5, 64}, at::kBFloat16);
  const Tensor as_plain = Linear(plain.open() / "layer", 64, 96)(x);
  const Tensor as_quantized = Linear(quantized / "layer", 64, 96)(x);

  EXPECT_TRUE(linear(x).equal(as_plain));
  layers->keep({});
  EXPECT_TRUE(linear(x).equal(as_quantized));
  layers->keep({"layer"});
  EXPECT_TRUE(linear(x).equal(as_plain));

  const SwitchedLayer& layer = layers->layers().at("layer");
  EXPECT_EQ(layer.plain.bytes, 96 * 64 * 2);
  EXPECT_EQ(layer.other.bytes, 96 * 64 + 96 * 4);
  EXPECT_EQ(layer.plain.calls, 2);
  EXPECT_EQ(layer.other.calls, 1);
}

}  // namespace
}  // namespace ditq
