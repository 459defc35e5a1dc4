// NVFP4 and SVDQuant layers: every recorded linear of the tiny pipeline against the simulation of what SGLang computes,
// and what is refused.

#include <cmath>
#include <set>

#include <gtest/gtest.h>

#include "base/error.h"
#include "nn/linear.h"
#include "support/nvfp4_export.h"
#include "support/tensors.h"
#include "support/weights_file.h"
#include "tensor/create.h"

namespace ditq {
namespace {

using test::WeightsFile;

/// The bundled model as ModelOpt exports it in NVFP4; made once.
const Checkpoint& exported() {
  static const test::TemporaryFolder folder;
  static const Checkpoint checkpoint = [] {
    test::write_flux1_nvfp4_export(folder / "nvfp4");
    return Checkpoint::open(folder / "nvfp4");
  }();
  return checkpoint;
}

WeightsFile layer_of(const std::string& name) {
  WeightsFile file;
  for (const char* part :
       {".weight", ".weight_scale", ".weight_scale_2", ".input_scale", ".bias"}) {
    if (const TensorInfo* info = exported().find(name + part)) {
      file.add("layer" + std::string(part), from_file(*info));
    }
  }
  return file;
}

TEST(LinearNvfp4, EveryRecordedLinearEqualsTheSimulationWithinOneUlp) {
  const auto golden = test::data("engine") / "linear_nvfp4.safetensors";
  std::set<std::string> layers;
  for (const TensorInfo& info : SafetensorsFile::open(golden.string()).tensors) {
    layers.insert(info.name.substr(0, info.name.rfind('.')));
  }
  EXPECT_EQ(layers.size(), 20);
  for (const std::string& layer : layers) {
    const Tensor x = test::load(golden, layer + ".input");
    const Tensor expected = test::load(golden, layer + ".output");
    const WeightsFile file = layer_of(layer);
    const Linear linear(file.open() / "layer", x.size(1), expected.size(1));
    EXPECT_LE(test::bf16_ulps(linear(x), expected), 1.0) << layer;
  }
}

/// float64 product of x with the exact values of the layer's weight.
Tensor exact_product(const WeightsFile& file, const Tensor& x) {
  const Weights w = file.open(at::kFloat, {.scheme = Scheme::nvfp4, .ignore = {"layer"}});
  const Linear dequantized(w / "layer", x.size(1), w.info("layer.weight").shape[0]);
  return dequantized(x.to(at::kFloat));
}

TEST(LinearNvfp4, KeepsActivationsWhenAskedTo) {
  const WeightsFile file = layer_of("single_transformer_blocks.0.proj_out");
  const Tensor x = normal(5, {9, 1280}, at::kBFloat16);
  WeightsOptions options{.nvfp4_activations = Nvfp4Activations::bf16};
  const Weights w = file.open(options);
  const Linear linear(w / "layer", 1280, 256);
  EXPECT_EQ(w.layers().front().activations, "");
  // bf16 has 8 significant bits, and the sums of both run in another order.
  EXPECT_LE(test::relative(linear(x), exact_product(file, x)), 1.0 / 256);
  const Tensor quantized = Linear(file.open() / "layer", 1280, 256)(x);
  EXPECT_GT(test::relative(quantized, exact_product(file, x)), 1.0 / 64);
}

TEST(LinearNvfp4, RunsInF32) {
  const WeightsFile file = layer_of("transformer_blocks.0.attn.to_q");
  const Tensor x = normal(5, {9, 256}, at::kFloat);
  const Tensor kept = Linear(
      file.open({.dtype = at::kFloat, .nvfp4_activations = Nvfp4Activations::bf16}) / "layer", 256,
      256)(x);
  EXPECT_LE(test::relative(kept, exact_product(file, x)), 1e-5);
  EXPECT_EQ(Linear(file.open({.dtype = at::kFloat}) / "layer", 256, 256)(x).scalar_type(),
            at::kFloat);
}

TEST(LinearNvfp4, WithoutInputScaleActivationsStay) {
  WeightsFile file;
  for (const char* part : {".weight", ".weight_scale", ".weight_scale_2", ".bias"}) {
    file.add("layer" + std::string(part),
             from_file(exported().at("transformer_blocks.0.attn.to_q" + std::string(part))));
  }
  const Weights w = file.open();
  const Tensor x = normal(5, {9, 256}, at::kBFloat16);
  EXPECT_LE(test::relative(Linear(w / "layer", 256, 256)(x), exact_product(file, x)), 1.0 / 256);
  EXPECT_TRUE(w.layers().front().lacks_input_scale);
}

TEST(LinearNvfp4, RecordsFourAndAHalfBits) {
  const Weights w = layer_of("single_transformer_blocks.0.proj_out").open();
  const Linear linear(w / "layer", 1280, 256);
  const LayerRecord& record = w.layers().front();
  EXPECT_EQ(record.scheme, "nvfp4");
  EXPECT_EQ(record.activations, "fp4");
  EXPECT_EQ(record.memory, 1280 * 256 * 9 / 16);
}

/// y = inner(x p) + ((x p) A^T) B^T, for an inner layer in bf16 or NVFP4.
TEST(LinearSvdquant, AddsTheLowRankBranchOfTheSmoothedInput) {
  const Tensor scale = normal(1, {256}, at::kFloat).abs().add(0.5).to(at::kBFloat16);
  const Tensor a = normal(2, {16, 256}, at::kBFloat16);
  const Tensor b = normal(3, {256, 16}, at::kBFloat16);
  const Tensor x = normal(4, {7, 256}, at::kBFloat16);
  WeightsFile plain;
  plain.add("layer.weight", normal(5, {256, 256}, at::kBFloat16));
  plain.add("layer.bias", normal(6, {256}, at::kBFloat16));
  for (WeightsFile file : {plain, layer_of("transformer_blocks.0.attn.to_q")}) {
    const Tensor smoothed = x.mul(scale);
    const Tensor inner = Linear(file.open() / "layer", 256, 256)(smoothed);
    const Tensor branch =
        smoothed.to(at::kDouble).matmul(a.to(at::kDouble).t()).matmul(b.to(at::kDouble).t());
    file.add("layer.pre_quant_scale", scale);
    file.add("layer.svdquant_lora_a", a);
    file.add("layer.svdquant_lora_b", b);
    const Weights w = file.open();
    const Tensor y = Linear(w / "layer", 256, 256)(x);
    // Two bf16 roundings of the branch, one of the sum.
    EXPECT_LE(test::relative(y, inner.to(at::kDouble).add(branch)), 3.0 / 256);
    EXPECT_TRUE(w.layers().front().scheme.ends_with("+svdquant"));
    EXPECT_GT(test::relative(inner, y), 0.1);
  }
}

/// One NVFP4 layer [8, 32] with one thing wrong.
struct Damage {
  const char* what;
  std::string tensor;
  std::optional<Tensor> value;  ///< nothing: the tensor is left out
  ErrorCode expected;
};

Tensor bytes(std::vector<std::int64_t> shape, std::uint8_t value) {
  return filled(shape, value, at::kByte);
}

TEST(LinearNvfp4, RefusesWhatCannotBeRight) {
  const auto scale = [](float value) { return from_values(std::vector<float>{value}); };
  const auto e4m3 = [](std::vector<std::int64_t> shape, float value) {
    return filled(shape, value, at::kFloat).to(at::kFloat8_e4m3fn);
  };
  const std::vector<Damage> cases{
      {"no block scales", "weight_scale", std::nullopt, ErrorCode::weight_without_scale},
      {"no global scale", "weight_scale_2", std::nullopt, ErrorCode::weight_without_scale},
      {"zero global scale", "weight_scale_2", scale(0), ErrorCode::bad_scale},
      {"NaN global scale", "weight_scale_2", scale(std::nanf("")), ErrorCode::bad_scale},
      {"infinite input scale", "input_scale", scale(INFINITY), ErrorCode::bad_scale},
      {"negative input scale", "input_scale", scale(-1), ErrorCode::bad_scale},
      {"two global scales", "weight_scale_2", filled({2}, 1, at::kFloat), ErrorCode::wrong_shape},
      {"global scale in bf16", "weight_scale_2", scale(1).to(at::kBFloat16),
       ErrorCode::wrong_dtype},
      {"block scales in f32", "weight_scale", filled({8, 2}, 1, at::kFloat),
       ErrorCode::wrong_dtype},
      {"too few block scales", "weight_scale", e4m3({8, 1}, 1), ErrorCode::wrong_shape},
      {"block scales of another layout", "weight_scale", e4m3({16}, 1), ErrorCode::wrong_shape},
      {"NaN block scale", "weight_scale", e4m3({8, 2}, std::nanf("")), ErrorCode::bad_scale},
      {"codes of another width", "weight", bytes({8, 8}, 1), ErrorCode::wrong_shape},
      {"codes of another height", "weight", bytes({4, 16}, 1), ErrorCode::wrong_shape},
      {"no codes", "weight", std::nullopt, ErrorCode::missing_tensor},
  };
  for (const Damage& damage : cases) {
    std::map<std::string, std::optional<Tensor>> tensors{{"weight", bytes({8, 16}, 0x21)},
                                                         {"weight_scale", e4m3({8, 2}, 1)},
                                                         {"weight_scale_2", scale(1)},
                                                         {"input_scale", scale(1)}};
    tensors[damage.tensor] = damage.value;
    WeightsFile file;
    for (const auto& [name, tensor] : tensors) {
      if (tensor) file.add("layer." + name, *tensor);
    }
    EXPECT_EQ(test::build_error(file, 32, 8), damage.expected) << damage.what;
  }
}

TEST(LinearNvfp4, RefusesAWidthThatIsNoMultipleOfSixteen) {
  for (const std::int64_t k : {17, 24}) {
    WeightsFile file;
    file.add("layer.weight", bytes({8, (k + 1) / 2}, 0x21));
    file.add("layer.weight_scale", bytes({8, 2}, 0x38).view(at::kFloat8_e4m3fn));
    file.add("layer.weight_scale_2", filled({}, 1, at::kFloat));
    EXPECT_EQ(test::build_error(file, k, 8), ErrorCode::wrong_shape) << k;
  }
}

TEST(LinearNvfp4, RefusesAConfigOfTheOtherScheme) {
  const QuantConfig fp8{.scheme = Scheme::fp8, .ignore = {}};
  EXPECT_EQ(test::build_error(layer_of("transformer_blocks.0.attn.to_q"), 256, 256, fp8),
            ErrorCode::wrong_dtype);
  const QuantConfig nvfp4{.scheme = Scheme::nvfp4, .ignore = {}};
  WeightsFile file;
  file.add("layer.weight", filled({8, 16}, 1, at::kFloat).to(at::kFloat8_e4m3fn));
  file.add("layer.weight_scale", filled({}, 1, at::kFloat));
  file.add("layer.input_scale", filled({}, 1, at::kFloat));
  EXPECT_EQ(test::build_error(file, 16, 8, nvfp4), ErrorCode::wrong_dtype);
}

}  // namespace
}  // namespace ditq
