#include "models/flux1.h"

#include <fstream>
#include <map>

#include <gtest/gtest.h>

#include "base/error.h"
#include "convert/build_fp8.h"
#include "convert/build_nvfp4.h"
#include "sampling/denoise.h"
#include "support/nvfp4_export.h"
#include "support/tensors.h"
#include "tensor/create.h"
#include "tensor/tap.h"

namespace ditq {
namespace {

Flux1Transformer load_transformer(const std::filesystem::path& folder,
                                  at::ScalarType dtype,
                                  const QuantConfig& quant = {}) {
  auto checkpoint = std::make_shared<const Checkpoint>(Checkpoint::open(folder.string()));
  const Json config = read_json((test::tiny_flux() / "transformer/config.json").string());
  return {Weights(std::move(checkpoint), {.dtype = dtype, .quant = quant}),
          parse_flux1_dims(config, "config.json")};
}

std::filesystem::path golden_file(const std::string& name) {
  return test::data("engine") / name;
}

Flux1Input golden_input(at::ScalarType dtype) {
  const auto file = golden_file("layers_fp32.safetensors");
  const auto get = [&](const char* name) { return test::load(file, std::string("input.") + name); };
  return {.img = get("hidden_states").to(dtype),
          .txt = get("encoder_hidden_states").to(dtype),
          .pooled = get("pooled_projections").to(dtype),
          .timestep = get("timestep").to(dtype),
          .guidance = get("guidance"),
          .positions = flux1_positions(64, 16, 16, dtype)};
}

/// Every 32nd token of a tap [B, L, D], as the goldens hold them.
Tensor thinned(const Tensor& x) {
  return x.dim() == 3 ? x.slice(1, 0, x.size(1), 32) : x;
}

TEST(Flux1, TapsAgreeWithTheGoldenBlockOutputs) {
  const Flux1Transformer model = load_transformer(test::tiny_flux() / "transformer", at::kFloat);
  std::map<std::string, Tensor> taps;
  {
    const TapSession session(
        [&](const std::string& path, const Tensor& x) { taps[path] = x.clone(); });
    model(golden_input(at::kFloat));
  }
  int compared = 0;
  const SafetensorsFile golden =
      SafetensorsFile::open(golden_file("layers_fp32.safetensors").string());
  for (const TensorInfo& info : golden.tensors) {
    const auto found = taps.find(info.name);
    if (found == taps.end()) continue;
    ++compared;
    // f32 sums in another order: 1e-4 of the largest value is what the issue of this work allows.
    EXPECT_LE(test::relative(thinned(found->second), from_file(info)), 1e-4) << info.name;
  }
  EXPECT_GE(compared, 18);
}

TEST(Flux1, LeavesOutOnlyWhatNobodyReads) {
  // Without taps the last block skips the text's rows.
  const Flux1Transformer model = load_transformer(test::tiny_flux() / "transformer", at::kFloat);
  const Flux1Input one = golden_input(at::kFloat);
  const auto twice = [](const Tensor& x) { return joined({x, x}, 0); };
  const Tensor two = model({.img = twice(one.img),
                            .txt = twice(one.txt),
                            .pooled = twice(one.pooled),
                            .timestep = twice(one.timestep),
                            .guidance = twice(one.guidance),
                            .positions = one.positions});
  const Tensor ours = model(one);
  const TapSession session([](const std::string&, const Tensor&) {});
  const Tensor all = model(one);
  EXPECT_LE(test::relative(ours, all), 1e-6);
  EXPECT_LE(test::relative(two[0], all[0]), 1e-5);
  EXPECT_LE(test::relative(two[1], all[0]), 1e-5);
}

TEST(Flux1, RopeTablesAreThoseOfDiffusers) {
  const Tensor positions = flux1_positions(64, 16, 16, at::kFloat);
  EXPECT_EQ(positions.size(0), 320);
  EXPECT_EQ(test::max_abs(positions.narrow(0, 64, 256),
                          test::load(golden_file("layers_fp32.safetensors"), "input.img_ids")),
            0);
}

/// Steps from golden states: worst cosine of the next state over all steps of case p0 in bf16.
double worst_step_cosine(const Flux1Transformer& model, const std::string& variant) {
  const auto file = golden_file("p0_8steps_" + variant + ".safetensors");
  const auto text = golden_file("text_p0_bf16.safetensors");
  const Tensor states = test::load(file, "latents");
  const Tensor sigmas = test::load(file, "sigmas");
  const Tensor timesteps = test::load(file, "timesteps");
  Tensor latents = test::load(golden_file("noise.safetensors"), "p0").to(at::kBFloat16);
  Flux1Input input{.img = latents,
                   .txt = test::load(text, "prompt_embeds"),
                   .pooled = test::load(text, "pooled_prompt_embeds"),
                   .timestep = {},
                   .guidance = test::load(golden_file("layers_fp32.safetensors"), "input.guidance"),
                   .positions = flux1_positions(64, 16, 16, at::kBFloat16)};
  double worst = 1;
  for (std::int64_t i = 0; i < states.size(1); ++i) {
    const float* sigma = sigmas.const_data_ptr<float>() + i;
    input.img = latents;
    input.timestep = timestep_input(timesteps.const_data_ptr<float>()[i], 1, at::kBFloat16);
    const Tensor next = euler_step(latents, model(input), sigma[0], sigma[1]);
    latents = states.select(1, i);
    worst = std::min(worst, test::cosine(next, latents));
  }
  return worst;
}

TEST(Flux1, StepsFromGoldenStatesInBf16) {
  const Flux1Transformer model = load_transformer(test::tiny_flux() / "transformer", at::kBFloat16);
  // Two valid sets of kernels differ by 0.999998.
  EXPECT_GE(worst_step_cosine(model, "bf16"), 0.99999);
}

TEST(Flux1, StepsFromGoldenStatesWithTheRawModelOptExport) {
  const auto folder = test::tiny_flux_fp8() / "transformer";
  const Flux1Transformer model =
      load_transformer(folder, at::kBFloat16, {.scheme = Scheme::fp8, .ignore = {}});
  // Two valid sets of kernels differ by 0.99998: a sum's last bit moves E4M3 codes of the next layer.
  EXPECT_GE(worst_step_cosine(model, "fp8-none"), 0.9999);
}

TEST(Flux1, StepsFromGoldenStatesWithTheBuiltFp8Transformer) {
  const auto exported = test::tiny_flux_fp8();
  const test::TemporaryFolder folder;
  build_fp8({.modelopt_hf_dir = exported.string(),
             .modelopt_backbone_ckpt = (exported / "transformer.small.pt").string(),
             .output_dir = folder / "fp8",
             .base_transformer_dir = test::tiny_flux().string(),
             .keep_bf16_patterns = {},
             .fallback_set = FallbackSet::upstream});
  const Flux1Transformer model =
      load_transformer(folder / "fp8", at::kBFloat16, {.scheme = Scheme::fp8, .ignore = {}});
  EXPECT_GE(worst_step_cosine(model, "fp8"), 0.9999);
}

TEST(Flux1, StepsFromGoldenStatesWithNvfp4InEveryLinear) {
  const test::TemporaryFolder folder;
  test::write_flux1_nvfp4_export(folder / "nvfp4");
  const Flux1Transformer model =
      load_transformer(folder / "nvfp4", at::kBFloat16, {.scheme = Scheme::nvfp4, .ignore = {}});
  // A sum's last bit moves E2M1 codes of the next layer: two valid sets of kernels differ by 0.99983 here.
  EXPECT_GE(worst_step_cosine(model, "nvfp4-all"), 0.9998);
}

TEST(Flux1, StepsFromGoldenStatesWithTheBuiltNvfp4Transformer) {
  const test::TemporaryFolder folder;
  test::write_flux1_nvfp4_export(folder / "nvfp4");
  build_nvfp4({.base_transformer_dir = (test::tiny_flux() / "transformer").string(),
               .modelopt_hf_dir = folder / "nvfp4",
               .output_dir = folder / "mixed",
               .pattern_preset = "flux1-nvfp4"});
  // Two valid sets of kernels differ by 0.99994.
  const Flux1Transformer model =
      load_transformer(folder / "mixed", at::kBFloat16, {.scheme = Scheme::nvfp4, .ignore = {}});
  EXPECT_GE(worst_step_cosine(model, "nvfp4"), 0.9998);
}

/// One step of a network at the recorded noise, with each arithmetic of attention: their cosine.
double fp8_attention_cosine(const Flux1Transformer& model) {
  const Flux1Input input = golden_input(at::kBFloat16);
  const Flux1Prepared run = model.prepare({input.timestep}, {.txt = input.txt,
                                                             .pooled = input.pooled,
                                                             .guidance = input.guidance,
                                                             .positions = input.positions});
  const auto step = [&](AttentionKernel attention) {
    return model.step(input.img, run.text, run.modulations[0], run.rope, attention);
  };
  const Tensor fp8 = step(AttentionKernel::fp8);
  EXPECT_EQ(test::max_abs(fp8, step(AttentionKernel::fp8)), 0);
  return test::cosine(fp8, step(AttentionKernel::fastest));
}

TEST(Flux1, Fp8AttentionStaysCloseWhateverTheWeights) {
  const auto fp8 = test::tiny_flux_fp8() / "transformer";
  for (const Flux1Transformer& model :
       {load_transformer(test::tiny_flux() / "transformer", at::kBFloat16),
        load_transformer(fp8, at::kBFloat16, {.scheme = Scheme::fp8, .ignore = {}})}) {
    EXPECT_EQ(model.why_no_fp8_attention(1, 320), "");
    const double cosine = fp8_attention_cosine(model);
    // Measured: 0.9997 to 0.9999; a wrong scale costs far more.
    EXPECT_GE(cosine, 0.999);
    EXPECT_LT(cosine, 0.9999999);
  }
  EXPECT_NE(
      load_transformer(test::tiny_flux() / "transformer", at::kFloat).why_no_fp8_attention(1, 320),
      "");
}

TEST(Flux1, PredictsEachPictureOfABatchAsIfAlone) {
  const Flux1Transformer model = load_transformer(test::tiny_flux() / "transformer", at::kFloat);
  const Flux1Input one = golden_input(at::kFloat);
  Flux1Input two = one;
  two.img = one.img.repeat({2, 1, 1});
  two.img[1].mul_(0.5);
  two.txt = one.txt.repeat({2, 1, 1});
  two.pooled = one.pooled.repeat({2, 1});
  two.timestep = one.timestep.repeat({2});
  two.guidance = one.guidance.repeat({2});
  const Tensor together = model(two);
  Flux1Input half = one;
  half.img = one.img.mul(0.5);
  EXPECT_LE(test::relative(together.narrow(0, 0, 1), model(one)), 1e-5);
  EXPECT_LE(test::relative(together.narrow(0, 1, 1), model(half)), 1e-5);
}

TEST(Flux1, GivesTheSameBytesAtEveryCall) {
  const Flux1Transformer model = load_transformer(test::tiny_flux() / "transformer", at::kBFloat16);
  const Flux1Input input = golden_input(at::kBFloat16);
  EXPECT_EQ(test::max_abs(model(input), model(input)), 0);
}

}  // namespace
}  // namespace ditq
