#include "pipeline/calibration_passes.h"

#include <limits>

#include <gtest/gtest.h>

#include "base/error.h"
#include "nn/linear.h"
#include "nn/linear_group.h"
#include "ops/smoothing.h"
#include "pipeline/svdquant.h"
#include "support/tensors.h"
#include "support/weights_file.h"
#include "tensor/create.h"

namespace ditq {
namespace {

/// Layers "a", "b", "c" of [64, 32] without bias.
Weights three_layers() {
  test::WeightsFile file;
  std::uint64_t seed = 1;
  for (const char* name : {"a.weight", "b.weight", "c.weight"}) {
    file.add(name, normal(seed++, {64, 32}, at::kBFloat16));
  }
  return file.open();
}

TEST(MaxPass, KeepsTheLargestMagnitudeOfAllCallsInTheInputsDtype) {
  Statistics statistics;
  const Weights w = three_layers();
  const Linear layer(w / "a", 32, 64);
  MaxPass pass(statistics, {});
  {
    const ListenerSession session(pass);
    for (const float value : {-2.25F, 2.0F}) {
      const Tensor x = filled({2, 3, 32}, 0.5, at::kBFloat16);
      x[1][2][7].fill_(value);
      layer(x);
    }
  }
  layer(filled({2, 3, 32}, 100, at::kBFloat16));  // nobody listens any more
  pass.check();
  const Tensor amax = statistics.at("a.input_quantizer._amax");
  EXPECT_EQ(amax.scalar_type(), at::kBFloat16);
  EXPECT_EQ(amax.dim(), 0);
  EXPECT_EQ(amax.item<float>(), 2.25F);
  EXPECT_EQ(statistics.size(), 1U);
}

TEST(MaxPass, IsExactGivenTheInputsOfALayer) {
  // Inputs of ten layers as they were recorded in the reference run.
  const auto recorded = test::data("engine") / "linear_fp8.safetensors";
  const SafetensorsFile file = SafetensorsFile::open(recorded.string());
  std::size_t layers = 0;
  for (const TensorInfo& info : file.tensors) {
    if (!info.name.ends_with(".input")) continue;
    ++layers;
    const Tensor x = test::load(recorded, info.name);
    Statistics statistics;
    MaxPass(statistics, {}).linear("layer", x);
    EXPECT_TRUE(statistics.at("layer.input_quantizer._amax").equal(x.abs().max())) << info.name;
  }
  EXPECT_GE(layers, 10U);
}

TEST(MaxPass, HearsEveryLayerOfAGroup) {
  Statistics statistics;
  const Weights w = three_layers();
  std::vector<Linear> parts;
  for (const char* name : {"a", "b", "c"}) parts.emplace_back(w / name, 32, 64);
  const LinearGroup group(std::move(parts));
  MaxPass pass(statistics, {});
  const ListenerSession session(pass);
  const Tensor out = empty({1, 2, 192}, at::kBFloat16);
  group.into(filled({1, 2, 32}, -3, at::kBFloat16),
             {out.narrow(2, 0, 64), out.narrow(2, 64, 64), out.narrow(2, 128, 64)});
  for (const char* name : {"a", "b", "c"}) {
    EXPECT_EQ(statistics.at(input_amax_key(name)).item<float>(), 3.0F) << name;
  }
}

TEST(MaxPass, MeasuresASmoothedLayerBehindItsScale) {
  Statistics statistics;
  MaxPass pass(statistics, {{"a", from_values(std::vector<float>{0.5F, 4.0F})}});
  pass.linear("a", from_values(std::vector<float>{6.0F, -1.0F}).view({1, 2}));
  EXPECT_EQ(statistics.at(input_amax_key("a")).item<float>(), 4.0F);
}

TEST(CalibrationPass, NamesTheFirstLayerThatIsGivenWhatIsNotFinite) {
  for (const float bad :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    Statistics statistics;
    MaxPass pass(statistics, {});
    const Tensor x = filled({2, 32}, 1, at::kBFloat16);
    pass.linear("fine", x.clone());
    pass.check();
    pass.linear("fine", x.clone());
    x[1][5].fill_(bad);
    pass.linear("broken", x);
    pass.linear("behind", x.clone());
    try {
      pass.check();
      ADD_FAILURE() << "nothing was raised";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::not_a_number);
      EXPECT_EQ(error.facts().tensor, "broken");
    }
  }
}

/// The worked example: one layer "layer" without bias, in f32.
class SvdquantExample : public testing::Test {
 protected:
  Tensor load(const std::string& name) const {
    return test::load(test::data("calibration") / "svdquant_example.safetensors", name);
  }
  /// Both passes that look at activations.
  void measure() {
    test::WeightsFile file;
    file.add("layer.weight", load("weight"));
    weights_.emplace(file.open(at::kFloat, {}));
    const Tensor calls = load("activations");
    ActivationPass first(statistics_, {"layer"});
    for (std::int64_t i = 0; i < calls.size(0); ++i) first.linear("layer", calls[i]);
    SearchPass second(statistics_, *weights_, {"layer"}, 16);
    for (std::int64_t i = 0; i < calls.size(0); ++i) second.linear("layer", calls[i]);
  }
  std::optional<Weights> weights_;
  Statistics statistics_;
};

TEST_F(SvdquantExample, StatisticsAndLossesAreTheExamples) {
  measure();
  // Sums of f32 values in another order than the example's exact sums.
  EXPECT_LE(test::relative(mean_activations(statistics_, "layer"), load("activation_mean")), 1e-6);
  EXPECT_LE(test::relative(block_relative_mean(load("weight"), 16), load("weight_mean")), 1e-6);
  const Tensor losses = statistics_.at(losses_key("layer"));
  EXPECT_LE(test::relative(losses, load("losses")), 1e-5);
  EXPECT_EQ(best_alpha(losses), 0.6F);
}

TEST_F(SvdquantExample, ScaleFactorsAndResidualAreTheExamples) {
  measure();
  const Tensor weight = load("weight");
  const Tensor scale = smoothing_scale(statistics_, "layer", weight, 16);
  EXPECT_LE(test::relative(scale, load("pre_quant_scale")), 1e-6);
  const SvdquantLayer layer = split_layer(weight, scale, 2);
  EXPECT_LE(test::max_abs(layer.b.matmul(layer.a), load("b").matmul(load("a"))), 1e-6);
  EXPECT_LE(test::max_abs(layer.a.abs(), load("a").abs()), 1e-6);
  EXPECT_LE(test::max_abs(layer.residual, load("residual")), 1e-6);
  EXPECT_NEAR(layer.residual.abs().max().item<float>(), 0.18264523F, 1e-6);

  MaxPass last(statistics_, {{"layer", layer.pre_quant_scale}});
  const Tensor calls = load("activations");
  for (std::int64_t i = 0; i < calls.size(0); ++i) last.linear("layer", calls[i]);
  EXPECT_NEAR(statistics_.at(input_amax_key("layer")).item<float>(), 6.220152F, 1e-5);
}

TEST(Svdquant, TheFirstOfEqualLossesWins) {
  std::vector<float> losses(11, 2.0F);
  losses[4] = 1.0F;
  losses[7] = 1.0F;
  EXPECT_EQ(best_alpha(from_values(losses)), 0.4F);
}

TEST(Svdquant, ALayerThatSawNoDataIsNotSmoothed) {
  const Tensor weight = normal(1, {8, 32}, at::kBFloat16);
  const Tensor scale = smoothing_scale({}, "layer", weight, 16);
  EXPECT_TRUE(scale.equal(filled({32}, 1, at::kFloat)));
  const SvdquantLayer layer = split_layer(weight, scale, 8);
  EXPECT_TRUE(layer.pre_quant_scale.equal(filled({32}, 1, at::kBFloat16)));
}

}  // namespace
}  // namespace ditq
