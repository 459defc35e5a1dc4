#include "convert/synth.h"

#include <cmath>
#include <fstream>
#include <iterator>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/json.h"
#include "convert/random_tensor.h"
#include "family/check_tensors.h"
#include "family/flux1.h"
#include "family/flux1_components.h"
#include "family/registry.h"
#include "format/checkpoint.h"
#include "quant/config.h"
#include "support/paths.h"

namespace ditq {
namespace {

std::string read_bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

const std::string kFile = "/diffusion_pytorch_model.safetensors";

SynthRequest tiny(const std::string& scheme, const std::string& folder) {
  SynthRequest request;
  request.variant = "tiny";
  request.scheme = scheme;
  request.output_dir = folder;
  return request;
}

TensorTable table_of(const Checkpoint& checkpoint) {
  TensorTable table;
  for (const auto& [name, info] : checkpoint.tensors()) {
    table.emplace(name, TensorFacts{.dtype = info->dtype, .shape = info->shape});
  }
  return table;
}

TEST(Synth, MakesCheckpointsOfEverySchemeThatTheFamilyAccepts) {
  for (const char* scheme : {"bf16", "fp8", "nvfp4"}) {
    const test::TemporaryFolder folder;
    const SynthStatistics made = synth(tiny(scheme, folder / "out"));
    const Checkpoint checkpoint = Checkpoint::open(folder / "out");
    const Json config = read_json(folder / "out/config.json");
    const Flux1Dims dims = parse_flux1_dims(config, "config.json");
    check_tensors(flux1_family(), dim_values(dims), table_of(checkpoint), folder / "out");
    EXPECT_EQ(made.tensors, checkpoint.tensors().size());
    EXPECT_EQ(made.parameters, 9239104u);
    if (std::string(scheme) == "bf16") continue;
    // 2 blocks of 14 linears and 4 of 6: everything in the blocks.
    EXPECT_EQ(made.quantized_layers, 52u);
    const QuantConfig quant = parse_quant_config(config.at("quantization_config"), "config.json");
    EXPECT_EQ(name(quant.scheme), scheme);
    EXPECT_TRUE(quant.ignores("proj_out"));
    EXPECT_FALSE(quant.ignores("transformer_blocks.0.attn.to_q"));
  }
}

TEST(Synth, EqualSeedsGiveEqualBytes) {
  const test::TemporaryFolder folder;
  synth(tiny("fp8", folder / "a"));
  synth(tiny("fp8", folder / "b"));
  SynthRequest other = tiny("fp8", folder / "c");
  other.seed = 1;
  synth(other);
  EXPECT_EQ(read_bytes(folder / "a" + kFile), read_bytes(folder / "b" + kFile));
  EXPECT_NE(read_bytes(folder / "a" + kFile), read_bytes(folder / "c" + kFile));
}

SynthRequest tiny_pipeline(const std::string& folder) {
  SynthRequest request = tiny("fp8", folder);
  request.all_components = true;
  request.tokenizers_from = test::tiny_flux();
  return request;
}

TEST(Synth, MakesAWholePipeline) {
  const test::TemporaryFolder folder;
  const SynthStatistics made = synth(tiny_pipeline(folder / "out"));
  EXPECT_EQ(made.quantized_layers, 52u);
  const Json index = read_json(folder / "out/model_index.json");
  EXPECT_EQ(index.at("_class_name"), "FluxPipeline");
  for (const auto& [name, value] : index.items()) {
    if (!value.is_array() || value[1].is_null()) continue;
    EXPECT_FALSE(read_bytes(folder / "out" + "/" + name +
                            (name == "scheduler"         ? "/scheduler_config.json"
                             : name.starts_with("token") ? "/tokenizer_config.json"
                                                         : "/config.json"))
                     .empty())
        << name;
  }
  EXPECT_EQ(read_bytes(folder / "out/tokenizer_2/spiece.model"),
            read_bytes(test::tiny_flux() / "tokenizer_2/spiece.model"));
  std::uint64_t tensors = 0;
  for (const char* component : {"transformer", "text_encoder", "text_encoder_2", "vae"}) {
    tensors += Checkpoint::open(folder / "out" + "/" + component).tensors().size();
  }
  EXPECT_EQ(made.tensors, tensors);
}

TEST(Synth, MakesTheSameTransformerWithAndWithoutAPipeline) {
  const test::TemporaryFolder folder;
  synth(tiny_pipeline(folder / "pipeline"));
  synth(tiny("fp8", folder / "alone"));
  EXPECT_EQ(read_bytes(folder / "pipeline/transformer" + kFile),
            read_bytes(folder / "alone" + kFile));
}

/// The tensors of a list of lines "name 3x4", as they are published.
std::map<std::string, std::string> published(const std::string& list) {
  std::map<std::string, std::string> out;
  std::ifstream in(test::data("models/" + list));
  for (std::string name, extents; in >> name >> extents;) out[name] = extents;
  return out;
}

TEST(Synth, GivesComponentsTheTensorsOfThePublishedOnes) {
  for (const char* variant : {"dev", "schnell"}) {
    const PipelineComponents all = flux1_components(variant);
    ASSERT_EQ(all.models.size(), 3u);
    for (const ComponentModel& model : all.models) {
      std::map<std::string, std::string> found;
      for (const ComponentTensor& tensor : model.tensors) {
        const std::string prefix = "text_model.";
        found[tensor.name.substr(tensor.name.starts_with(prefix) ? prefix.size() : 0)] =
            fmt::format("{}", fmt::join(tensor.shape, "x"));
      }
      auto expected = published(model.folder == "vae"            ? "flux1_vae.names"
                                : model.folder == "text_encoder" ? "clip_l.names"
                                                                 : "t5_xxl.names");
      expected.erase("encoder.embed_tokens.weight");  // shared.weight by another name
      EXPECT_EQ(found, expected) << model.folder;
    }
  }
}

TEST(Synth, KeepsTheDocumentedFallbackSetInBf16) {
  const test::TemporaryFolder folder;
  SynthRequest request = tiny("fp8", folder / "out");
  request.fallback_set = "documented";
  const SynthStatistics made = synth(request);
  // 2 blocks keep 2 modulations and 4 feed-forward layers, 4 keep a modulation and proj_mlp.
  EXPECT_EQ(made.quantized_layers, 52u - 2 * 6 - 4 * 2);
  const Checkpoint checkpoint = Checkpoint::open(folder / "out");
  EXPECT_EQ(checkpoint.at("single_transformer_blocks.0.proj_mlp.weight").dtype, Dtype::bf16);
  EXPECT_EQ(checkpoint.at("single_transformer_blocks.0.proj_out.weight").dtype, Dtype::f8_e4m3);
}

TEST(Synth, RefusesWhatItDoesNotKnow) {
  const test::TemporaryFolder folder;
  const auto code = [&](auto change) {
    SynthRequest request = tiny("bf16", folder / "out");
    change(request);
    try {
      synth(request);
    } catch (const Error& error) {
      return error.code();
    }
    return ErrorCode::check_failed;
  };
  EXPECT_EQ(code([](auto& r) { r.variant = "huge"; }), ErrorCode::usage);
  EXPECT_EQ(code([](auto& r) { r.family = "flux9"; }), ErrorCode::usage);
  EXPECT_EQ(code([](auto& r) { r.scheme = "int3"; }), ErrorCode::usage);
  EXPECT_EQ(code([](auto& r) { r.fallback_set = "all"; }), ErrorCode::usage);
  EXPECT_EQ(code([](auto& r) { r.all_components = true; }), ErrorCode::usage);
  EXPECT_EQ(code([](auto& r) { r.tokenizers_from = test::tiny_flux(); }), ErrorCode::usage);
  EXPECT_EQ(code([](auto& r) {
              r.all_components = true;
              r.tokenizers_from = "/nowhere";
            }),
            ErrorCode::file_not_found);
}

TEST(RandomTensor, PartsAreThoseOfTheWhole) {
  const RandomTensor random(3, "name");
  std::vector<std::uint16_t> whole(20000);
  std::vector<std::uint16_t> part(5000);
  normal_bf16(random, 0, 0, 1, whole);
  normal_bf16(random, 8192, 0, 1, part);
  EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + 8192));
}

TEST(RandomTensor, QuantilesAreThoseOfTheNormalDistribution) {
  const std::vector<float>& quantiles = normal_quantiles();
  double sum = 0;
  double squares = 0;
  for (const float value : quantiles) {
    sum += static_cast<double>(value);
    squares += static_cast<double>(value) * static_cast<double>(value);
  }
  EXPECT_EQ(sum, 0);
  // The tails beyond the last rank are missing.
  EXPECT_NEAR(std::sqrt(squares / static_cast<double>(quantiles.size())), 1, 1e-3);
  EXPECT_NEAR(quantiles[55139], 1.0, 1e-4);  // 84.13 %
}

}  // namespace
}  // namespace ditq
