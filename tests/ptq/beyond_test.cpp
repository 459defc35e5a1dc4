// What ditq exports beyond ModelOpt, on the bundled pipeline: tensors against their definition, and documents that say so.

#include "ptq/beyond.h"

#include <cmath>
#include <cstring>
#include <filesystem>
#include <set>

#include <gtest/gtest.h>

#include "base/error.h"
#include "convert/component_source.h"
#include "ptq/quantize.h"
#include "quant/fp8.h"
#include "support/owned_tensors.h"
#include "support/paths.h"

namespace ditq::test {
namespace {

/// The transformer's folder of an export of the bundled pipeline.
std::string exported(const TemporaryFolder& folder, const BeyondModelopt& beyond) {
  QuantizeRequest request{.folder = tiny_flux().string(),
                          .shown = tiny_flux().string(),
                          .hf_folder = folder / "hf",
                          .arithmetic = Arithmetic::cpu,
                          .beyond = beyond};
  if (!beyond.weights_only) {
    request.format = "fp8";
    request.states["transformer"] =
        (source_dir() / "models/tiny-flux-modelopt-fp8/transformer.small.pt").string();
  }
  quantize(request);
  return request.hf_folder + "/transformer";
}

constexpr BeyondModelopt kWeightsOnly{.channel_token = true, .weights_only = true};

TEST(BeyondModelopt, ChannelTokenNeedsWeightsAlone) {
  const TemporaryFolder folder;
  const std::string path = exported(folder, kWeightsOnly);
  const Json quantization = read_json(path + "/config.json")["quantization_config"];
  EXPECT_EQ(quantization["quant_algo"], "FP8_PER_CHANNEL_PER_TOKEN");
  EXPECT_EQ(dump_json(quantization["ditq"]),
            R"({"granularity": "channel-token", "weights_only": true})");
  EXPECT_TRUE(quantization["config_groups"]["group_0"]["input_activations"]["dynamic"]);
  EXPECT_EQ(resolve_transformer(path, "").quant.scheme, Scheme::fp8_channel_token);

  OwnedTensors expected = load_tensors((tiny_flux() / "transformer").string());
  OwnedTensors found = load_tensors(path);
  std::set<std::string> packed;
  for (const auto& [name, tensor] : found) {
    if (tensor.dtype == Dtype::f8_e4m3) packed.insert(name.substr(0, name.size() - 7));
  }
  EXPECT_EQ(packed.size(), 52U);
  quantize_fp8_rows(
      expected, [&](const std::string& module) { return packed.contains(module); },
      /*column=*/false);
  EXPECT_EQ(found, expected);
}

TEST(BeyondModelopt, ARowOfZerosHasScaleOne) {
  const WeightPath path;
  const std::vector<std::uint16_t> zeros(64);
  const TensorInfo info{.name = "w", .dtype = Dtype::bf16, .shape = {2, 32}, .size = 128};
  float scales[2] = {};
  fp8_channel_scales_recipe(path, 32, {}, Arithmetic::cuda)
      ->make(info, std::as_bytes(std::span(zeros)), std::as_writable_bytes(std::span(scales)));
  EXPECT_EQ(scales[0], 1.0F);
  EXPECT_EQ(scales[1], 1.0F);
}

TEST(BeyondModelopt, ClippedScalesSaturateAndAreNamed) {
  const TemporaryFolder folder;
  const WeightClip clip{.rule = WeightClip::Rule::percentile, .percentile = 99};
  const std::string path = exported(folder, {.clip = clip});
  const Json quantization = read_json(path + "/config.json")["quantization_config"];
  EXPECT_EQ(quantization["quant_algo"], "FP8");
  EXPECT_EQ(dump_json(quantization["ditq"]), R"({"weight_clip": "percentile:99"})");
  OwnedTensors base = load_tensors((tiny_flux() / "transformer").string());
  OwnedTensors found = load_tensors(path);
  const std::string layer = "single_transformer_blocks.0.proj_out";
  const OwnedTensor& weight = base.at(layer + ".weight");
  const float amax = clipped_amax_e4m3(clip, Dtype::bf16, Bytes(weight.bytes));
  float scale = 0;
  std::memcpy(&scale, found.at(layer + ".weight_scale").bytes.data(), sizeof(scale));
  EXPECT_EQ(scale, amax / kE4m3Max);
  std::size_t saturated = 0;
  for (const std::uint8_t code : codes_of(found.at(layer + ".weight"))) {
    ASSERT_NE(code & 0x7f, 0x7f);
    saturated += (code & 0x7f) == 0x7e ? 1 : 0;
  }
  EXPECT_GE(saturated, codes_of(found.at(layer + ".weight")).size() / 100);
}

TEST(BeyondModelopt, WithoutChoicesNothingIsAdded) {
  const TemporaryFolder folder;
  const std::string path = exported(folder, {});
  EXPECT_FALSE(read_json(path + "/config.json")["quantization_config"].contains("ditq"));
}

TEST(BeyondModelopt, RefusesWhatDoesNotGoTogether) {
  const auto refused = [](const BeyondModelopt& beyond, Element format,
                          CalibrationAlgorithm algorithm) {
    try {
      check_beyond(beyond, format, algorithm);
    } catch (const Error& error) {
      return error.code() == ErrorCode::usage;
    }
    return false;
  };
  const WeightClip mse{.rule = WeightClip::Rule::mse};
  EXPECT_FALSE(refused({}, Element::nvfp4, CalibrationAlgorithm::svdquant));
  EXPECT_FALSE(refused(kWeightsOnly, Element::fp8, CalibrationAlgorithm::max));
  EXPECT_FALSE(refused({.clip = mse}, Element::nvfp4, CalibrationAlgorithm::max));
  EXPECT_TRUE(refused({.channel_token = true}, Element::nvfp4, CalibrationAlgorithm::max));
  EXPECT_TRUE(refused({.weights_only = true}, Element::fp8, CalibrationAlgorithm::max));
  EXPECT_TRUE(refused({.clip = mse}, Element::nvfp4, CalibrationAlgorithm::svdquant));
  EXPECT_THROW(parse_granularity("channel"), Error);
  EXPECT_TRUE(parse_granularity("channel-token"));
  EXPECT_FALSE(parse_granularity("tensor"));
}

}  // namespace
}  // namespace ditq::test
