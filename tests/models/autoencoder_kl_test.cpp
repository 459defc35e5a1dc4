#include "models/vae/autoencoder_kl.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "format/safetensors.h"
#include "models/helpers.h"
#include "support/paths.h"

namespace ditq::test {
namespace {

using ::testing::HasSubstr;

AutoencoderKlConfig tiny_config() {
  const std::string path = tiny_flux() / "vae/config.json";
  return AutoencoderKlConfig::parse(read_json(path), path);
}

std::string tiny_weights() {
  return tiny_flux() / "vae/diffusion_pytorch_model.safetensors";
}

Json flux1_dev() {
  return {{"_class_name", "AutoencoderKL"},
          {"block_out_channels", {128, 256, 512, 512}},
          {"latent_channels", 16},
          {"layers_per_block", 2},
          {"norm_num_groups", 32},
          {"scaling_factor", 0.3611},
          {"shift_factor", 0.1159},
          {"up_block_types",
           {"UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"}},
          {"use_post_quant_conv", false},
          {"use_quant_conv", false}};
}

/// Every step-th row and column.
Tensor sampled(const Tensor& picture, std::int64_t step) {
  return picture.slice(2, 0, std::nullopt, step).slice(3, 0, std::nullopt, step);
}

TEST(AutoencoderKl, GivesTheDecodersStagesOfDiffusersInF32) {
  const std::string file = data("models/vae_fp32.safetensors");
  const AutoencoderKl vae(open_weights(tiny_weights(), at::kFloat), tiny_config());
  const Taps taps;
  const Tensor picture = vae.decode(recorded(file, "latents"));
  for (const char* name : {"decoder.conv_in", "decoder.mid_block", "decoder.up_blocks.0"}) {
    // Other kernels, other order of summation; 2e-6 was measured.
    EXPECT_LT(relative_error(sampled(taps.at(name), 8), recorded(file, name)), 1e-4) << name;
  }
  const Tensor expected = recorded(file, "decoder.output");
  const double error = sampled(picture, 4).sub(expected).abs().max().item<double>();
  // One step of 255 is 2/255 in -1…1; 1e-5 was measured.
  EXPECT_LT(error, 1.0 / 255);
  EXPECT_TRUE(taps.at("decoder.output").equal(picture));
}

TEST(AutoencoderKl, DecodesTheWholeRecordedPicture) {
  const auto file = golden("golden/flux1-tiny/vae_decode_fp32.safetensors");
  if (!file) GTEST_SKIP() << "no golden data: set DITQ_TEST_DATA";
  const AutoencoderKl vae(open_weights(tiny_weights(), at::kFloat), tiny_config());
  const Taps taps;
  vae.decode(recorded(*file, "latents_unpacked"));
  for (const char* name : {"decoder.input", "decoder.conv_in", "decoder.mid_block",
                           "decoder.up_blocks.0", "decoder.output"}) {
    const double error = relative_error(taps.at(name), recorded(*file, name));
    EXPECT_LT(error, 1e-4) << name;
    RecordProperty(name, std::to_string(error));
  }
}

TEST(AutoencoderKl, StaysCloseToTheF32PictureInBf16) {
  const std::string file = data("models/vae_fp32.safetensors");
  const AutoencoderKl vae(open_weights(tiny_weights(), at::kBFloat16), tiny_config());
  const Tensor picture = vae.decode(recorded(file, "latents").to(at::kBFloat16));
  EXPECT_EQ(picture.scalar_type(), at::kBFloat16);
  const Tensor expected = recorded(file, "decoder.output");
  const Tensor difference = sampled(picture, 4).to(at::kFloat).sub(expected);
  // diffusers' own bf16 decode of these latents is 0.0015 root mean square away from its f32 one,
  // as ours is.
  EXPECT_LT(difference.square().mean().sqrt().item<double>(), 0.002);
}

TEST(AutoencoderKl, DecodesABatchOfPicturesThatAreNotSquare) {
  const std::string file = data("models/vae_fp32.safetensors");
  const AutoencoderKl vae(open_weights(tiny_weights(), at::kFloat), tiny_config());
  const Tensor latents = recorded(file, "latents").narrow(2, 0, 6).narrow(3, 0, 10);
  const Tensor alone = vae.decode(latents);
  EXPECT_EQ(shape_of(alone), (Shape{1, 3, 48, 80}));
  const Tensor both = vae.decode(latents.repeat({2, 1, 1, 1}));
  EXPECT_LT(relative_error(both.narrow(0, 1, 1), alone), 1e-4);
}

/// Tiles of 8 x 8 cells instead of 32 x 32.
AutoencoderKl tiny_with_small_tiles(at::ScalarType dtype) {
  AutoencoderKlConfig config = tiny_config();
  config.sample_size = 64;
  return {open_weights(tiny_weights(), dtype), config};
}

TEST(AutoencoderKl, DecodesInTilesAsDiffusersDoes) {
  const std::string file = data("models/vae_tiled_fp32.safetensors");
  const Tensor latents = recorded(data("models/vae_fp32.safetensors"), "latents")
                             .narrow(2, 0, 21)
                             .narrow(3, 0, 27)
                             .contiguous();
  const AutoencoderKl vae = tiny_with_small_tiles(at::kFloat);
  const Tensor picture = vae.decode_tiled(latents);
  EXPECT_EQ(shape_of(picture), (Shape{1, 3, 168, 216}));
  // One step of 255 is 2/255 in -1…1; as for whole pictures.
  EXPECT_LT(sampled(picture, 9).sub(recorded(file, "tiled")).abs().max().item<double>(), 1.0 / 255);
  // Tiles see less than the whole: where they are blended wrongly is seen only if the two differ.
  EXPECT_GT(picture.sub(vae.decode(latents)).abs().max().item<double>(), 8.0 / 255);
}

TEST(AutoencoderKl, StaysCloseToTheF32TilesInBf16) {
  const std::string file = data("models/vae_tiled_fp32.safetensors");
  const Tensor latents = recorded(data("models/vae_fp32.safetensors"), "latents")
                             .narrow(2, 0, 21)
                             .narrow(3, 0, 27)
                             .contiguous();
  const Tensor picture =
      tiny_with_small_tiles(at::kBFloat16).decode_tiled(latents.to(at::kBFloat16));
  const Tensor difference = sampled(picture, 9).to(at::kFloat).sub(recorded(file, "tiled"));
  // diffusers' own bf16 tiles are 0.0021 away from its f32 ones.
  EXPECT_LT(difference.square().mean().sqrt().item<double>(), 0.003);
}

TEST(AutoencoderKl, CutsOnlyWhatIsLargerThanATile) {
  const Tensor latents = recorded(data("models/vae_fp32.safetensors"), "latents")
                             .narrow(2, 0, 8)
                             .narrow(3, 0, 8)
                             .contiguous();
  const AutoencoderKl vae = tiny_with_small_tiles(at::kFloat);
  EXPECT_TRUE(vae.decode_tiled(latents).equal(vae.decode(latents)));
}

TEST(AutoencoderKl, RefusesTilesThatDoNotFitTogether) {
  AutoencoderKlConfig config = tiny_config();
  config.sample_size = 72;  // a quarter of 9 cells
  const AutoencoderKl vae(open_weights(tiny_weights(), at::kFloat), config);
  EXPECT_EQ(config.tile_latent_side(), 0);
  EXPECT_THROW(vae.decode_tiled(recorded(data("models/vae_fp32.safetensors"), "latents")), Error);
}

TEST(AutoencoderKl, KnowsTheTensorsOfFlux1) {
  const auto config = AutoencoderKlConfig::parse(flux1_dev(), "x");
  EXPECT_EQ(config.scale(), 8);
  auto found = read_names(data("models/flux1_vae.names"));
  ASSERT_EQ(found.size(), 244U);
  EXPECT_NO_THROW(check_weights(autoencoder_kl_weights(config, false), found, "x"));
  found.erase("encoder.conv_in.weight");  // the decoder does not need it
  EXPECT_NO_THROW(check_weights(autoencoder_kl_weights(config, false), found, "x"));
  found.erase("decoder.up_blocks.2.resnets.0.conv_shortcut.bias");
  EXPECT_THROW(check_weights(autoencoder_kl_weights(config, false), found, "x"), Error);
}

/// The name that diffusers gave to a tensor of the middle block's attention before 0.17.
std::string old_name(std::string name) {
  const std::map<std::string, std::string> old = {
      {"to_q", "query"}, {"to_k", "key"}, {"to_v", "value"}, {"to_out.0", "proj_attn"}};
  for (const auto& [now, then] : old) {
    const std::string part = "attentions.0." + now + ".";
    const std::size_t at = name.find(part);
    if (at != std::string::npos) name.replace(at, part.size(), "attentions.0." + then + ".");
  }
  return name;
}

TEST(AutoencoderKl, ReadsTheOldNamesOfAttention) {
  const TemporaryFolder folder;
  const std::string path = folder / "old.safetensors";
  const Checkpoint source = Checkpoint::open(tiny_weights());
  std::vector<TensorData> tensors;
  for (const auto& [name, info] : source.tensors()) {
    tensors.push_back({old_name(name), info->dtype, info->shape, info->bytes()});
  }
  write_safetensors(path, tensors, {});
  ASSERT_NE(Checkpoint::open(path).find("decoder.mid_block.attentions.0.proj_attn.bias"), nullptr);
  const std::string file = data("models/vae_fp32.safetensors");
  const Tensor latents = recorded(file, "latents").narrow(2, 0, 4).narrow(3, 0, 4);
  const AutoencoderKl now(open_weights(tiny_weights(), at::kFloat), tiny_config());
  const AutoencoderKl then(open_weights(path, at::kFloat), tiny_config());
  EXPECT_TRUE(now.decode(latents).equal(then.decode(latents)));
}

TEST(AutoencoderKlConfig, ReportsAllBadValuesInOneError) {
  Json config = flux1_dev();
  config["act_fn"] = "mish";
  config["norm_num_groups"] = 48;
  config["scaling_factor"] = 0;
  config["up_block_types"] = {"AttnUpDecoderBlock2D"};
  config["mid_block_add_attention"] = 1;
  try {
    AutoencoderKlConfig::parse(config, "config.json");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::bad_config);
    for (const char* part : {"mish", "norm_num_groups = 48", "scaling_factor", "AttnUpDecoder",
                             "1 entries", "mid_block_add_attention", "config.json"}) {
      EXPECT_THAT(error.what(), HasSubstr(part));
    }
  }
}

TEST(AutoencoderKlConfig, TakesAMissingShiftAsZero) {
  Json config = flux1_dev();
  config["shift_factor"] = nullptr;
  EXPECT_EQ(AutoencoderKlConfig::parse(config, "x").shift_factor, 0.0);
}

}  // namespace
}  // namespace ditq::test
