// FP8 per channel and token on the toolkit's side: declared, inferred, refused, and found sound.

#include <algorithm>
#include <cstring>
#include <filesystem>

#include <gtest/gtest.h>

#include "convert/component_source.h"
#include "doctor/doctor.h"
#include "family/dialect.h"
#include "format/helpers.h"
#include "support/owned_tensors.h"
#include "support/paths.h"

namespace ditq::test {
namespace {

const Json kDeclared = {{"quant_method", "modelopt"},
                        {"quant_algo", "FP8_PER_CHANNEL_PER_TOKEN"},
                        {"ignore", Json::array()}};

std::string base() {
  return (tiny_flux() / "transformer").string();
}

bool in_block(const std::string& module) {
  return module.find("transformer_blocks.") != std::string::npos &&
         module.find("norm_") == std::string::npos;
}

OwnedTensors by_row(bool column) {
  OwnedTensors out = load_tensors(base());
  quantize_fp8_rows(out, in_block, column);
  return out;
}

/// The bundled transformer in another form.
struct Written {
  TemporaryFolder folder;

  Written(const OwnedTensors& tensors, const Json& quantization) {
    Json config = read_json(base() + "/config.json");
    if (!quantization.is_null()) config["quantization_config"] = quantization;
    write_text(folder / "config.json", dump_json(config));
    write_tensors(folder / "diffusion_pytorch_model.safetensors", tensors);
  }
  std::string path() const { return folder.path().string(); }
};

TEST(ChannelToken, IsReadAsDeclaredAndByShape) {
  for (const bool column : {false, true}) {
    const Written declared(by_row(column), kDeclared);
    EXPECT_EQ(resolve_transformer(declared.path(), "").quant.scheme, Scheme::fp8_channel_token);
    const Written silent(by_row(column), nullptr);
    EXPECT_EQ(resolve_transformer(silent.path(), "").quant.scheme, Scheme::fp8_channel_token);
  }
}

TEST(ChannelToken, AnyCaseOfLettersAndTheGeneralFp8MethodMeanIt) {
  Json config = kDeclared;
  config["quant_algo"] = "fp8_per_channel_per_token";
  EXPECT_EQ(parse_quant_config(config, "x").scheme, Scheme::fp8_channel_token);
  config["quant_method"] = "modelopt_fp8";
  EXPECT_EQ(parse_quant_config(config, "x").scheme, Scheme::fp8_channel_token);
  EXPECT_EQ(name(Scheme::fp8_channel_token), "fp8-channel-token");
  config["quant_method"] = "modelopt_fp4";
  EXPECT_THROW(parse_quant_config(config, "x"), Error);
}

TEST(ChannelToken, AScalePerRowWithAnInputScaleIsNotIt) {
  OwnedTensors tensors = by_row(false);
  for (const auto& [name, tensor] : OwnedTensors(tensors)) {
    const TensorName parts = split_tensor_name(name);
    if (parts.parameter == "weight_scale") {
      tensors[parts.module + ".input_scale"] = f32_tensor({0.01f});
    }
  }
  const Written folder(tensors, nullptr);
  EXPECT_EQ(resolve_transformer(folder.path(), "").quant.scheme, Scheme::fp8);
}

TEST(ChannelToken, TheDoctorFindsNothingWrong) {
  for (const bool column : {false, true}) {
    const Written folder(by_row(column), kDeclared);
    for (const std::string& original : {base(), std::string()}) {
      const DoctorReport report = examine(folder.path(), original);
      for (const Finding& finding : report.findings) {
        EXPECT_EQ(finding.kind, "") << finding.message;
      }
    }
  }
}

TEST(ChannelToken, TheDoctorSeesAScaleThatCannotBe) {
  OwnedTensors tensors = by_row(false);
  OwnedTensor& scales = tensors.at("single_transformer_blocks.0.proj_out.weight_scale");
  const float zero = 0;
  std::memcpy(scales.bytes.data() + 4 * 17, &zero, sizeof(zero));
  const Written folder(tensors, kDeclared);
  EXPECT_TRUE(examine(folder.path(), "").has_problems());
}

TEST(ChannelToken, TheDoctorSeesRowsThatAreNotTheBases) {
  OwnedTensors tensors = by_row(false);
  OwnedTensor& scales = tensors.at("single_transformer_blocks.0.proj_out.weight_scale");
  std::vector<float> values(scales.bytes.size() / 4);
  std::memcpy(values.data(), scales.bytes.data(), scales.bytes.size());
  std::reverse(values.begin(), values.end());
  std::memcpy(scales.bytes.data(), values.data(), scales.bytes.size());
  const Written folder(tensors, kDeclared);
  EXPECT_TRUE(examine(folder.path(), base()).has_problems());
}

}  // namespace
}  // namespace ditq::test
