// Every layer, altered by hand in every way, over random weights of many kinds: always recognised; left alone: never
// accused.

#include <algorithm>
#include <cmath>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "doctor/base_checks.h"
#include "doctor/self_checks.h"
#include "quant/nvfp4.h"
#include "support/owned_tensors.h"

namespace ditq::test {
namespace {

constexpr unsigned kSeeds = 20;

/// How a weight's values are distributed.
enum class Kind { gaussian, outlier_columns, heavy_tails, rows_apart, uniform, sparse, tiny };
constexpr Kind kKinds[] = {Kind::gaussian,   Kind::outlier_columns, Kind::heavy_tails,
                           Kind::rows_apart, Kind::uniform,         Kind::sparse,
                           Kind::tiny};

/// The usual weights, and one more kind for each seed.
std::vector<Kind> kinds_of_seed(unsigned seed) {
  return {Kind::gaussian, kKinds[1 + seed % 6]};
}

std::vector<float> random_weights(Kind kind,
                                  std::size_t rows,
                                  std::size_t columns,
                                  std::mt19937& random) {
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::student_t_distribution<float> heavy(3.0f);
  std::uniform_real_distribution<float> uniform(-0.05f, 0.05f);
  std::vector<float> column_sizes(columns, 1.0f);
  std::vector<float> row_sizes(rows, 1.0f);
  if (kind == Kind::outlier_columns) {
    for (std::size_t i = 0; i < 1 + columns / 50; ++i) column_sizes[random() % columns] = 20.0f;
  }
  if (kind == Kind::rows_apart) {
    for (float& size : row_sizes) size = std::exp(normal(random) * 50.0f);
  }
  std::vector<float> out(rows * columns);
  for (std::size_t i = 0; i < out.size(); ++i) {
    float value = normal(random);
    if (kind == Kind::heavy_tails) value = 0.02f * heavy(random);
    if (kind == Kind::uniform) value = uniform(random);
    if (kind == Kind::sparse && random() % 2 == 0) value = 0.0f;
    if (kind == Kind::tiny) value *= 1e-4f;
    out[i] = value * row_sizes[i / columns] * column_sizes[i % columns];
  }
  return out;
}

/// A model of a few linears. Rows are multiples of 128 and of less, columns of 64 and of 16.
OwnedTensors random_model(Kind kind, unsigned seed) {
  std::mt19937 random(seed);
  OwnedTensors out;
  const std::pair<std::int64_t, std::int64_t> shapes[] = {
      {128, 64}, {256, 128}, {128 * (1 + seed % 3), 192}, {384, 64}, {96, 80}, {130, 16}, {62, 48}};
  int number = 0;
  for (const auto& [rows, columns] : shapes) {
    out["blocks." + std::to_string(number++) + ".linear.weight"] =
        bf16_of({rows, columns}, random_weights(kind, static_cast<std::size_t>(rows),
                                                static_cast<std::size_t>(columns), random));
  }
  return out;
}

OwnedTensors quantized(const OwnedTensors& base, bool nvfp4) {
  OwnedTensors out = base;
  if (nvfp4) {
    quantize_nvfp4(out, [](const std::string& module) { return module; });
  } else {
    quantize_fp8(out, [](const std::string&) { return true; });
  }
  return out;
}

OwnedTensors of_layer(const OwnedTensors& tensors, const std::string& name) {
  OwnedTensors out;
  for (auto it = tensors.lower_bound(name + "."); it != tensors.end(); ++it) {
    if (!it->first.starts_with(name + ".")) break;
    out.insert(*it);
  }
  return out;
}

/// What is found out about one layer.
std::vector<Finding> findings_of(const OwnedTensors& tensors,
                                 const OwnedTensors& base,
                                 const std::string& name) {
  const auto view = view_of(of_layer(tensors, name));
  const Layer layer = *find_layer(*view, name);
  const LayerData data(*view, layer);
  Findings findings;
  ExaminedLayer examined;
  if (layer.encoding != Encoding::plain) check_itself(*view, data, findings);
  check_against_base(data, *view_of(of_layer(base, name)), findings, examined);
  return findings.finish();
}

std::vector<std::string> kinds_of(const std::vector<Finding>& findings) {
  std::vector<std::string> kinds;
  for (const Finding& finding : findings) {
    if (finding.severity == Severity::problem) kinds.push_back(finding.kind);
  }
  return kinds;
}

std::string text_of(const std::vector<Finding>& findings) {
  std::string out;
  for (const Finding& finding : findings) out += finding.message + "\n";
  return out;
}

void scramble_scales(OwnedTensor& scales) {
  const Shape shape = scales.shape;
  swizzle_of(scales);
  scales.shape = shape;
}

bool is_unpadded(const OwnedTensor& scales) {
  return scales.shape[0] % 128 == 0 && scales.shape[1] % 4 == 0;
}

struct Alteration {
  const char* kind;
  std::function<bool(OwnedTensors&, const std::string&)> apply;  ///< false: not possible here
};

std::vector<Alteration> nvfp4_alterations() {
  const auto scale_by = [](float factor) {
    return [factor](OwnedTensors& t, const std::string& layer) {
      OwnedTensor& scale = t.at(layer + ".weight_scale_2");
      scale = f32_tensor({floats_of(scale)[0] * factor});
      return true;
    };
  };
  return {{"nibble_order",
           [](OwnedTensors& t, const std::string& layer) {
             swap_nibbles_of(t.at(layer + ".weight"));
             return true;
           }},
          {"scale_order",
           [](OwnedTensors& t, const std::string& layer) {
             if (!is_unpadded(t.at(layer + ".weight_scale"))) return false;
             scramble_scales(t.at(layer + ".weight_scale"));
             return true;
           }},
          {"swapped_halves",
           [](OwnedTensors& t, const std::string& layer) {
             swap_halves_of(t.at(layer + ".weight"));
             swap_halves_of(t.at(layer + ".weight_scale"));
             return true;
           }},
          {"swapped_halves",
           [](OwnedTensors& t, const std::string& layer) {
             swap_halves_of(t.at(layer + ".weight"));
             return true;
           }},
          {"global_scale", scale_by(1.25f)},
          {"global_scale", scale_by(0.01f)},
          {"global_scale", scale_by(2688.0f)}};
}

TEST(Doctor, NeverAccusesACorrectLayer) {
  for (unsigned seed = 0; seed < kSeeds; ++seed) {
    for (const Kind kind : kinds_of_seed(seed)) {
      const OwnedTensors base = random_model(kind, seed);
      for (const bool nvfp4 : {true, false}) {
        const OwnedTensors sound = quantized(base, nvfp4);
        for (const auto& [name, tensor] : base) {
          const std::string layer = name.substr(0, name.size() - 7);
          const auto findings = findings_of(sound, base, layer);
          EXPECT_TRUE(kinds_of(findings).empty())
              << static_cast<int>(kind) << " " << seed << " " << layer << "\n"
              << text_of(findings);
        }
      }
    }
  }
}

TEST(Doctor, RecognisesEveryAlterationOfEveryNvfp4Layer) {
  for (unsigned seed = 0; seed < kSeeds; ++seed) {
    for (const Kind kind : kinds_of_seed(seed)) {
      const OwnedTensors base = random_model(kind, seed);
      const OwnedTensors sound = quantized(base, /*nvfp4=*/true);
      for (const std::string& layer : packed_modules(sound)) {
        for (const Alteration& alteration : nvfp4_alterations()) {
          OwnedTensors altered = of_layer(sound, layer);
          if (!alteration.apply(altered, layer) || altered == of_layer(sound, layer)) continue;
          const auto findings = findings_of(altered, base, layer);
          EXPECT_THAT(kinds_of(findings), testing::Contains(alteration.kind))
              << static_cast<int>(kind) << " " << seed << " " << layer << "\n"
              << text_of(findings);
        }
      }
    }
  }
}

TEST(Doctor, RecognisesTwoAlterationsOfOneLayer) {
  for (unsigned seed = 0; seed < kSeeds; ++seed) {
    const OwnedTensors base = random_model(Kind::outlier_columns, seed);
    OwnedTensors altered = quantized(base, /*nvfp4=*/true);
    const std::string layer = "blocks.1.linear";
    for (const std::size_t i : {0, 1, 2, 4}) {
      if (i != 2 || seed % 2 == 0) nvfp4_alterations()[i].apply(altered, layer);
    }
    const auto kinds = kinds_of(findings_of(altered, base, layer));
    EXPECT_THAT(kinds, testing::Contains("nibble_order"));
    EXPECT_THAT(kinds, testing::Contains("scale_order"));
    EXPECT_THAT(kinds, testing::Contains("global_scale"));
    const bool exchanged = std::find(kinds.begin(), kinds.end(), "swapped_halves") != kinds.end();
    EXPECT_EQ(exchanged, seed % 2 == 0);
  }
}

TEST(Doctor, RecognisesAlterationsOfFp8AndPlainLayers) {
  for (unsigned seed = 0; seed < kSeeds; ++seed) {
    const OwnedTensors base = random_model(Kind::gaussian, seed);
    const OwnedTensors fp8 = quantized(base, /*nvfp4=*/false);
    for (const auto& [name, tensor] : base) {
      const std::string layer = name.substr(0, name.size() - 7);
      OwnedTensors halves = fp8;
      swap_halves_of(halves.at(name));
      EXPECT_THAT(kinds_of(findings_of(halves, base, layer)), testing::Contains("swapped_halves"));
      OwnedTensors scaled = fp8;
      scaled[layer + ".weight_scale"] = f32_tensor({448.0f});
      EXPECT_THAT(kinds_of(findings_of(scaled, base, layer)), testing::Contains("global_scale"));
      OwnedTensors plain = base;
      EXPECT_TRUE(findings_of(plain, base, layer).empty());
      swap_halves_of(plain.at(name));
      EXPECT_THAT(kinds_of(findings_of(plain, base, layer)), testing::Contains("swapped_halves"));
      plain[name] = random_model(Kind::gaussian, seed + 100).at(name);
      if (plain.at(name).shape != tensor.shape) continue;
      EXPECT_THAT(kinds_of(findings_of(plain, base, layer)),
                  testing::Contains("differs_from_base"));
    }
  }
}

TEST(Doctor, SaysWhenALayerIsAnotherOnes) {
  const OwnedTensors base = random_model(Kind::gaussian, 1);
  const OwnedTensors other = random_model(Kind::gaussian, 4);
  for (const bool nvfp4 : {true, false}) {
    const auto findings = findings_of(quantized(other, nvfp4), base, "blocks.1.linear");
    EXPECT_THAT(kinds_of(findings), testing::ElementsAre("differs_from_base"));
    EXPECT_THAT(text_of(findings), testing::HasSubstr("error 1.4 as stored"));
  }
}

}  // namespace
}  // namespace ditq::test
