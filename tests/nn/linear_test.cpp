#include "nn/linear.h"

#include <cmath>
#include <set>

#include <gtest/gtest.h>

#include "base/error.h"
#include "format/safetensors.h"
#include "support/tensors.h"
#include "support/weights_file.h"
#include "tensor/create.h"

namespace ditq {
namespace {

using test::WeightsFile;

/// The FP8 layer of name `name` as SGLang's builder writes it for the tiny pipeline; scales as [1] or 0-d.
void add_fp8_layer(WeightsFile& file, const std::string& name, bool scalars) {
  const auto source = test::tiny_flux_fp8() / "transformer/diffusion_pytorch_model.safetensors";
  for (const char* part : {".weight", ".weight_scale", ".input_scale", ".bias"}) {
    const SafetensorsFile opened = SafetensorsFile::open(source.string());
    if (opened.find(name + part) == nullptr) continue;
    const Tensor tensor = test::load(source, name + part);
    const bool scale = std::string(part).ends_with("_scale");
    file.add("layer" + std::string(part), scale && !scalars ? tensor.reshape({1}) : tensor);
  }
}

TEST(Linear, EveryFp8LinearEqualsTheSimulationWithinOneUlp) {
  const auto golden = test::data("engine") / "linear_fp8.safetensors";
  std::set<std::string> layers;
  for (const TensorInfo& info : SafetensorsFile::open(golden.string()).tensors) {
    layers.insert(info.name.substr(0, info.name.rfind('.')));
  }
  EXPECT_GE(layers.size(), 10);
  for (const std::string& layer : layers) {
    const Tensor x = test::load(golden, layer + ".input");
    const Tensor expected = test::load(golden, layer + ".output");
    for (const bool scalars : {false, true}) {
      WeightsFile file;
      add_fp8_layer(file, layer, scalars);
      const Linear linear(file.open() / "layer", x.size(1), expected.size(1));
      EXPECT_LE(test::bf16_ulps(linear(x), expected), 1.0) << layer;
    }
  }
}

TEST(Linear, IgnoredFp8LayerIsDequantized) {
  WeightsFile file;
  add_fp8_layer(file, "transformer_blocks.0.attn.to_q", /*scalars=*/true);
  const Weights w = file.open(at::kFloat, {.scheme = Scheme::fp8, .ignore = {"lay*"}});
  const Linear linear(w / "layer", 256, 256);
  EXPECT_EQ(w.layers().front().scheme, "f32");
  const Tensor x = normal(1, {5, 256}, at::kFloat);
  const Tensor weight = w.raw("layer.weight").to(at::kFloat).mul(w.raw("layer.weight_scale"));
  EXPECT_LE(test::relative(linear(x), x.matmul(weight.t()).add(w.raw("layer.bias").to(at::kFloat))),
            1e-5);
}

TEST(Linear, Bf16RoundsOnceAfterTheBias) {
  WeightsFile file;
  file.add("layer.weight", normal(1, {48, 64}, at::kBFloat16));
  file.add("layer.bias", normal(2, {48}, at::kBFloat16));
  const Weights w = file.open();
  const Linear linear(w / "layer", 64, 48);
  const Tensor x = normal(3, {2, 9, 64}, at::kBFloat16);
  const Tensor exact = x.to(at::kDouble)
                           .matmul(w.raw("layer.weight").to(at::kDouble).t())
                           .add(w.raw("layer.bias").to(at::kDouble));
  EXPECT_LE(test::bf16_ulps(linear(x), exact), 0.51);
}

struct Damage {
  std::optional<Tensor> weight, weight_scale, input_scale;
  ErrorCode expected;
};

TEST(Linear, RefusesScalesThatCannotBeRight) {
  const Tensor codes = normal(1, {8, 16}, at::kFloat).to(at::kFloat8_e4m3fn);
  const auto scale = [](float value) { return from_values(std::vector<float>{value}); };
  const std::vector<Damage> cases{
      {codes, scale(0), scale(1), ErrorCode::bad_scale},
      {codes, scale(-1), scale(1), ErrorCode::bad_scale},
      {codes, scale(std::nanf("")), scale(1), ErrorCode::bad_scale},
      {codes, scale(1), scale(INFINITY), ErrorCode::bad_scale},
      {codes, scale(1), scale(0), ErrorCode::bad_scale},
      {codes, std::nullopt, scale(1), ErrorCode::weight_without_scale},
      {codes, scale(1), std::nullopt, ErrorCode::weight_without_scale},
      {codes, scale(1).to(at::kBFloat16), scale(1), ErrorCode::wrong_dtype},
      {codes, filled({8}, 1, at::kFloat), scale(1), ErrorCode::wrong_shape},
      {codes.reshape({16, 8}), scale(1), scale(1), ErrorCode::wrong_shape},
      {normal(1, {8, 16}, at::kBFloat16), scale(1), scale(1), ErrorCode::scale_without_weight},
      {normal(1, {8, 16}, at::kFloat).to(at::kChar), std::nullopt, std::nullopt,
       ErrorCode::wrong_dtype},
      {std::nullopt, scale(1), scale(1), ErrorCode::missing_tensor},
  };
  for (std::size_t i = 0; i < cases.size(); ++i) {
    WeightsFile file;
    if (cases[i].weight) file.add("layer.weight", *cases[i].weight);
    if (cases[i].weight_scale) file.add("layer.weight_scale", *cases[i].weight_scale);
    if (cases[i].input_scale) file.add("layer.input_scale", *cases[i].input_scale);
    EXPECT_EQ(test::build_error(file, 16, 8), cases[i].expected) << i;
  }
}

}  // namespace
}  // namespace ditq
