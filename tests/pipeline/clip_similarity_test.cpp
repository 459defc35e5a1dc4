#include "pipeline/clip_similarity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "format/safetensors.h"
#include "models/encoders/clip_vision.h"
#include "pipeline/compare.h"
#include "support/paths.h"
#include "support/pictures.h"

namespace ditq {
namespace {

using test::rule_picture;
using testing::HasSubstr;

/// Of a vision transformer of two layers on 12 x 12 pixels.
const Json kConfig = {{"hidden_size", 16},      {"intermediate_size", 24},
                      {"num_hidden_layers", 2}, {"num_attention_heads", 2},
                      {"image_size", 12},       {"patch_size", 4},
                      {"projection_dim", 8},    {"model_type", "clip_vision_model"}};
const Json kPreprocessor = {{"size", {{"shortest_edge", 12}}},
                            {"crop_size", {{"height", 12}, {"width", 12}}},
                            {"resample", 3}};

/// Value i of tensor t, in order of names, is ((37 i + 101 t) mod 199 - 99) / 400; 1 more in weights of norms.
void write_weights(const std::string& path) {
  WeightTable table = clip_vision_weights(ClipVisionConfig::parse(kConfig, "config"));
  std::sort(table.tensors.begin(), table.tensors.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  std::vector<std::vector<float>> values;
  for (std::size_t t = 0; t < table.tensors.size(); ++t) {
    const ExpectedTensor& tensor = table.tensors[t];
    std::int64_t count = 1;
    for (const std::int64_t extent : tensor.shape) count *= extent;
    const bool norm =
        tensor.name.find("norm") != std::string::npos && tensor.name.ends_with(".weight");
    std::vector<float> all;
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t step = (i * 37 + static_cast<std::int64_t>(t) * 101) % 199 - 99;
      all.push_back(static_cast<float>(static_cast<double>(step) / 400.0 + (norm ? 1 : 0)));
    }
    values.push_back(std::move(all));
  }
  std::vector<TensorData> data;
  for (std::size_t t = 0; t < values.size(); ++t) {
    data.push_back({table.tensors[t].name, Dtype::f32, table.tensors[t].shape,
                    std::as_bytes(std::span(values[t]))});
  }
  write_safetensors(path, data, {});
}

void write_encoder(const test::TemporaryFolder& folder,
                   const Json& config = kConfig,
                   const Json& preprocessor = kPreprocessor) {
  write_weights(folder / "model.safetensors");
  write_text(folder / "config.json", dump_json(config));
  write_text(folder / "preprocessor_config.json", dump_json(preprocessor));
}

std::string refusal(const Json& config, const Json& preprocessor, ErrorCode code) {
  const test::TemporaryFolder folder;
  write_encoder(folder, config, preprocessor);
  try {
    const ClipSimilarity clip(folder.path().string());
  } catch (const Error& error) {
    EXPECT_EQ(name(error.code()), name(code)) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

/// What transformers 5.17 and Pillow 12 gave.
struct Recorded {
  std::int64_t width, height;
  double pixels, first, last;  ///< sum of pixel_values, [0, 0, 0], [2, 11, 11]
  std::vector<double> embedding;
  double cosine;  ///< of rule_picture 0 and 3
};

const std::vector<Recorded> kRecorded{
    {31,
     17,
     98.49748616211582,
     -1.1207349300384521,
     1.7050750255584717,
     {0.0610472, 0.0580615, 0.4904395, 0.4874538, 0.4078526, 0.4048668, 0.4018811, -0.1516261},
     0.9999737739562988},
    {12,
     12,
     135.98461213428527,
     -1.7922625541687012,
     -0.5985757112503052,
     {0.0640946, 0.0611844, 0.4810324, 0.4781223, 0.4154243, 0.4125142, 0.409604, -0.1470874},
     0.9993987679481506},
    {9,
     30,
     156.68322384729981,
     0.17852512001991272,
     -0.0724332183599472,
     {0.0706123, 0.0677158, 0.4915123, 0.4886159, 0.4080337, 0.4051373, 0.4022409, -0.1329405},
     0.9999373555183411}};

TEST(ClipPreprocessing, GivesTransformersValues) {
  const ClipPreprocessing preprocessing = ClipPreprocessing::parse(kPreprocessor, "x");
  for (const Recorded& expected : kRecorded) {
    const Tensor pixels = preprocessing(rule_picture(expected.width, expected.height));
    ASSERT_EQ(pixels.sizes(), at::IntArrayRef({1, 3, 12, 12}));
    const auto at = [&](std::int64_t c, std::int64_t y, std::int64_t x) {
      return static_cast<double>(pixels[0][c][y][x].item<float>());
    };
    // The same f32 operations on the same bytes.
    EXPECT_EQ(at(0, 0, 0), expected.first);
    EXPECT_EQ(at(2, 11, 11), expected.last);
    EXPECT_NEAR(pixels.to(at::kDouble).sum().item<double>(), expected.pixels, 1e-9);
  }
}

TEST(ClipSimilarity, IsTransformersCosine) {
  const test::TemporaryFolder folder;
  write_encoder(folder);
  const ClipSimilarity clip(folder.path().string());
  for (const Recorded& expected : kRecorded) {
    const Picture reference = rule_picture(expected.width, expected.height);
    const Tensor embedding = clip.embed(reference);
    for (std::size_t i = 0; i < expected.embedding.size(); ++i) {
      // f32 sums in another order.
      EXPECT_NEAR(embedding[0][static_cast<std::int64_t>(i)].item<double>(), expected.embedding[i],
                  1e-6);
    }
    EXPECT_NEAR(clip(reference, rule_picture(expected.width, expected.height, 3)), expected.cosine,
                1e-6);
    EXPECT_NEAR(clip(reference, reference), 1, 1e-6);
  }
}

TEST(ClipSimilarity, ReadsAWholeClipModel) {
  Json whole = {{"model_type", "clip"}, {"projection_dim", 8}, {"vision_config", kConfig}};
  whole["vision_config"]["projection_dim"] = 512;  // its own is not used
  const test::TemporaryFolder folder;
  write_encoder(folder, whole, {{"size", 12}, {"crop_size", 12}, {"resample", 3}});
  const ClipSimilarity clip(folder.path().string());
  EXPECT_NEAR(clip(rule_picture(31, 17), rule_picture(31, 17, 3)), kRecorded[0].cosine, 1e-6);
}

TEST(ClipSimilarity, RefusesWhatDoesNotFit) {
  Json config = kConfig;
  config["patch_size"] = 6;
  refusal(config, kPreprocessor, ErrorCode::family_mismatch);
  config = kConfig;
  config["model_type"] = "siglip";
  EXPECT_THAT(refusal(config, kPreprocessor, ErrorCode::bad_config), HasSubstr("siglip"));
  Json preprocessor = kPreprocessor;
  preprocessor["resample"] = 2;
  EXPECT_THAT(refusal(kConfig, preprocessor, ErrorCode::unsupported), HasSubstr("resample 2"));
  preprocessor = kPreprocessor;
  preprocessor["do_center_crop"] = false;
  EXPECT_THAT(refusal(kConfig, preprocessor, ErrorCode::unsupported), HasSubstr("do_center_crop"));
  preprocessor = kPreprocessor;
  preprocessor["crop_size"] = 10;
  refusal(kConfig, preprocessor, ErrorCode::bad_config);
  preprocessor["crop_size"] = 20;
  refusal(kConfig, preprocessor, ErrorCode::unsupported);
  preprocessor = kPreprocessor;
  preprocessor["image_std"] = {1, 2};
  refusal(kConfig, preprocessor, ErrorCode::bad_config);
}

TEST(ClipSimilarity, IsABarOfCompare) {
  const test::TemporaryFolder folder;
  write_encoder(folder);
  write_png(folder / "a.png", rule_picture(31, 17));
  write_png(folder / "b.png", rule_picture(31, 17, 3));
  CompareRequest request;
  request.reference_file = folder / "a.png";
  request.candidate_file = folder / "b.png";
  request.require = "clip>=0.99999";
  EXPECT_THROW(compare(request), Error) << "there is no encoder";
  request.clip_image_encoder = folder.path().string();
  const CompareResult found = compare(request);
  EXPECT_THAT(found.missed, testing::ElementsAre(HasSubstr("clip: worst frame 0 has 0.99997")));
  EXPECT_NEAR(found.report["runs"][0]["output_metrics"]["frames"][0]["clip_similarity"],
              kRecorded[0].cosine, 1e-6);
}

}  // namespace
}  // namespace ditq
