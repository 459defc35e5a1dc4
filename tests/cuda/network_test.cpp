// The bundled networks on a GPU against recorded states and the CPU.

#include <gtest/gtest.h>

#include "convert/build_nvfp4.h"
#include "cuda/environment.h"
#include "models/encoders/clip_text.h"
#include "models/encoders/t5.h"
#include "models/flux1.h"
#include "models/flux1_steps.h"
#include "models/helpers.h"
#include "models/vae/autoencoder_kl.h"
#include "sampling/denoise.h"
#include "support/nvfp4_export.h"
#include "support/tensors.h"

namespace ditq {
namespace {

using test::kGpu;
using test::on_gpu;

Flux1Transformer load_transformer(const std::filesystem::path& folder,
                                  const QuantConfig& quant,
                                  at::Device device,
                                  Nvfp4Activations activations = Nvfp4Activations::fp4) {
  auto checkpoint = std::make_shared<const Checkpoint>(Checkpoint::open(folder.string()));
  const Json config = read_json((test::tiny_flux() / "transformer/config.json").string());
  return {Weights(std::move(checkpoint), {.dtype = at::kBFloat16,
                                          .quant = quant,
                                          .nvfp4_activations = activations,
                                          .device = device}),
          parse_flux1_dims(config, "config.json")};
}

std::filesystem::path recorded_file(const std::string& name) {
  return test::data("engine") / name;
}

/// What case p0 gives the network, on a device.
Flux1Conditions conditions(at::Device device) {
  const auto text = recorded_file("text_p0_bf16.safetensors");
  const auto get = [&](const std::filesystem::path& file, const char* name) {
    return on_device(test::load(file, name), device);
  };
  return {.txt = get(text, "prompt_embeds"),
          .pooled = get(text, "pooled_prompt_embeds"),
          .guidance = get(recorded_file("layers_fp32.safetensors"), "input.guidance"),
          .positions = flux1_positions(64, 16, 16, at::kBFloat16)};
}

struct Recorded {
  Tensor states, sigmas, timesteps, noise;

  explicit Recorded(const std::string& variant) {
    const auto file = recorded_file("p0_8steps_" + variant + ".safetensors");
    states = test::load(file, "latents");
    sigmas = test::load(file, "sigmas");
    timesteps = test::load(file, "timesteps");
    noise = test::load(recorded_file("noise.safetensors"), "p0").to(at::kBFloat16);
  }
  std::vector<Tensor> inputs(at::Device device) const {
    std::vector<Tensor> out;
    for (std::int64_t i = 0; i < states.size(1); ++i) {
      out.push_back(timestep_input(timesteps.const_data_ptr<float>()[i], 1, at::kBFloat16, device));
    }
    return out;
  }
};

/// Steps from recorded states: worst cosine of the next state over all steps of case p0.
double worst_step_cosine(const Flux1Transformer& model, const std::string& variant) {
  const Recorded recorded(variant);
  Flux1Steps steps(model);
  const Flux1Prepared run = model.prepare(recorded.inputs(kGpu), conditions(kGpu));
  Tensor latents = recorded.noise;
  double worst = 1;
  for (std::int64_t i = 0; i < recorded.states.size(1); ++i) {
    const float* sigma = recorded.sigmas.const_data_ptr<float>() + i;
    const Tensor now = on_gpu(latents);
    const Tensor next = euler_step(now, steps(now, run, i), sigma[0], sigma[1]);
    latents = recorded.states.select(1, i).contiguous();
    const double cosine = test::cosine(next.cpu(), latents);
    std::printf("  %s step %d cosine %.7f\n", variant.c_str(), static_cast<int>(i), cosine);
    worst = std::min(worst, cosine);
  }
  return worst;
}

/// Steps from its own states; cosine of the last.
double free_running_cosine(const Flux1Transformer& model, const std::string& variant) {
  const Recorded recorded(variant);
  Flux1Steps steps(model);
  const Flux1Prepared run = model.prepare(recorded.inputs(kGpu), conditions(kGpu));
  Tensor latents = on_gpu(recorded.noise);
  double worst = 1;
  for (std::int64_t i = 0; i < recorded.states.size(1); ++i) {
    const float* sigma = recorded.sigmas.const_data_ptr<float>() + i;
    latents = euler_step(latents, steps(latents, run, i), sigma[0], sigma[1]);
    worst = std::min(worst, test::cosine(latents.cpu(), recorded.states.select(1, i)));
  }
  return worst;
}

TEST(CudaFlux1, StepsFromRecordedStatesInBf16) {
  DITQ_NEEDS_GPU();
  const Flux1Transformer model = load_transformer(test::tiny_flux() / "transformer", {}, kGpu);
  // Two valid sets of kernels differ by 0.999998.
  EXPECT_GE(worst_step_cosine(model, "bf16"), 0.99999);
  const double free = free_running_cosine(model, "bf16");
  std::printf("  bf16 free running, worst step: %.7f\n", free);
  EXPECT_GE(free, 0.9995);
}

TEST(CudaFlux1, StepsFromRecordedStatesInFp8) {
  DITQ_NEEDS_GPU();
  const auto folder = test::tiny_flux_fp8() / "transformer";
  const Flux1Transformer model =
      load_transformer(folder, {.scheme = Scheme::fp8, .ignore = {}}, kGpu);
  // Two valid sets of kernels differ by 0.99998: a sum's last bit moves E4M3 codes of the next layer.
  for (const bool fast : {false, true}) {
    std::printf("  %s accumulation\n", fast ? "fast" : "precise");
    cuda().use_fast_accumulation(fast);
    EXPECT_GE(worst_step_cosine(model, "fp8-none"), 0.9999);
  }
  cuda().use_fast_accumulation(false);
}

/// Steps of a GPU's network and a CPU's from the same states: worst cosine of the next state.
double worst_against_cpu(const Flux1Transformer& gpu,
                         const Flux1Transformer& cpu,
                         const std::string& variant,
                         AttentionKernel attention) {
  const Recorded recorded(variant);
  Flux1Steps gpu_steps(gpu);
  Flux1Steps cpu_steps(cpu);
  const Flux1Prepared gpu_run = gpu.prepare(recorded.inputs(kGpu), conditions(kGpu));
  const Flux1Prepared cpu_run = cpu.prepare(recorded.inputs(at::kCPU), conditions(at::kCPU));
  Tensor latents = recorded.noise;
  double worst = 1;
  for (std::int64_t i = 0; i < recorded.states.size(1); ++i) {
    const float* sigma = recorded.sigmas.const_data_ptr<float>() + i;
    const auto next = [&](Flux1Steps& steps, const Flux1Prepared& run, const Tensor& now) {
      return euler_step(now, steps(now, run, i, attention), sigma[0], sigma[1]).cpu();
    };
    const double cosine =
        test::cosine(next(gpu_steps, gpu_run, on_gpu(latents)), next(cpu_steps, cpu_run, latents));
    std::printf("  step %d cosine %.7f\n", static_cast<int>(i), cosine);
    worst = std::min(worst, cosine);
    latents = recorded.states.select(1, i).contiguous();
  }
  return worst;
}

TEST(CudaFlux1, Nvfp4StepsAreThoseOfTheCpu) {
  DITQ_NEEDS_GPU();
  const test::TemporaryFolder folder;
  test::write_flux1_nvfp4_export(folder / "nvfp4");
  build_nvfp4({.base_transformer_dir = (test::tiny_flux() / "transformer").string(),
               .modelopt_hf_dir = folder / "nvfp4",
               .output_dir = folder / "mixed",
               .pattern_preset = "flux1-nvfp4"});
  const QuantConfig quant{.scheme = Scheme::nvfp4, .ignore = {}};
  struct Case {
    const char* folder;
    const char* states;
    Nvfp4Activations activations;
    double least;
  };
  // A sum's last bit moves E2M1 codes of the next layer, most at the last step: a CPU with another order of
  // attention's sums is 0.9996 from itself where every linear layer is NVFP4. Without quantized activations nothing
  // moves.
  for (const Case& c : {Case{"nvfp4", "nvfp4-all", Nvfp4Activations::bf16, 0.99998},
                        Case{"mixed", "nvfp4", Nvfp4Activations::fp4, 0.9997},
                        Case{"nvfp4", "nvfp4-all", Nvfp4Activations::fp4, 0.9995}}) {
    const bool fp4 = c.activations == Nvfp4Activations::fp4;
    std::printf("  %s, activations %s\n", c.folder, fp4 ? "fp4" : "bf16");
    const Flux1Transformer gpu = load_transformer(folder / c.folder, quant, kGpu, c.activations);
    const Flux1Transformer cpu =
        load_transformer(folder / c.folder, quant, at::kCPU, c.activations);
    EXPECT_GE(worst_against_cpu(gpu, cpu, c.states, AttentionKernel::fastest), c.least);
  }
}

TEST(CudaFlux1, Fp8AttentionIsThatOfTheCpu) {
  DITQ_NEEDS_GPU();
  for (const bool fp8 : {false, true}) {
    const QuantConfig quant =
        fp8 ? QuantConfig{.scheme = Scheme::fp8, .ignore = {}} : QuantConfig{};
    std::printf("  %s weights\n", fp8 ? "FP8" : "BF16");
    const auto place = (fp8 ? test::tiny_flux_fp8() : test::tiny_flux()) / "transformer";
    const Flux1Transformer gpu = load_transformer(place, quant, kGpu);
    const Flux1Transformer cpu = load_transformer(place, quant, at::kCPU);
    const std::string why_not = gpu.why_no_fp8_attention(1, 320);
    if (!why_not.empty()) GTEST_SKIP() << why_not;
    // Weights of the softmax are rounded against another maximum: their codes differ, and those of the next layers.
    EXPECT_GE(worst_against_cpu(gpu, cpu, fp8 ? "fp8-none" : "bf16", AttentionKernel::fp8), 0.9998);
  }
}

TEST(CudaFlux1, RecordsEachArithmeticOfAttention) {
  DITQ_NEEDS_GPU();
  const Recorded recorded("bf16");
  const Flux1Transformer model = load_transformer(test::tiny_flux_fp8() / "transformer",
                                                  {.scheme = Scheme::fp8, .ignore = {}}, kGpu);
  if (!model.why_no_fp8_attention(1, 320).empty())
    GTEST_SKIP() << model.why_no_fp8_attention(1, 320);
  const Flux1Prepared run = model.prepare(recorded.inputs(kGpu), conditions(kGpu));
  const Tensor latents = on_gpu(recorded.noise);
  Flux1Steps steps(model);
  const auto step = [&](AttentionKernel attention) {
    return steps(latents, run, 3, attention).cpu();
  };
  const Tensor plain = step(AttentionKernel::fastest);
  const Tensor fp8 = step(AttentionKernel::fp8);
  EXPECT_GT(test::max_abs(plain, fp8), 0);
  EXPECT_GE(test::cosine(plain, fp8), 0.999);
  // The graphs share memory: each must still give its own bytes, in any order.
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(test::max_abs(step(AttentionKernel::fp8), fp8), 0);
    EXPECT_EQ(test::max_abs(step(AttentionKernel::fp8), fp8), 0);
    EXPECT_EQ(test::max_abs(step(AttentionKernel::fastest), plain), 0);
  }
}

TEST(CudaFlux1, TheGraphGivesTheBytesOfTheFirstEvaluation) {
  DITQ_NEEDS_GPU();
  const Recorded recorded("bf16");
  for (const bool fp8 : {false, true}) {
    const auto folder = (fp8 ? test::tiny_flux_fp8() : test::tiny_flux()) / "transformer";
    const Flux1Transformer model = load_transformer(
        folder, fp8 ? QuantConfig{.scheme = Scheme::fp8, .ignore = {}} : QuantConfig{}, kGpu);
    const Flux1Prepared run = model.prepare(recorded.inputs(kGpu), conditions(kGpu));
    const Tensor latents = on_gpu(recorded.noise);
    Flux1Steps steps(model);
    const Tensor eager = steps(latents, run, 3).cpu();
    for (int i = 0; i < 3; ++i) {
      steps(latents, run, 5);
      EXPECT_EQ(test::max_abs(steps(latents, run, 3).cpu(), eager), 0) << folder;
    }
  }
}

TEST(CudaFlux1, PredictsEachPictureOfABatchAsIfAlone) {
  DITQ_NEEDS_GPU();
  const Flux1Transformer model = load_transformer(test::tiny_flux() / "transformer", {}, kGpu);
  const Recorded recorded("bf16");
  const Flux1Conditions one = conditions(kGpu);
  const Tensor latents = on_gpu(recorded.noise);
  const Flux1Prepared single = model.prepare({recorded.inputs(kGpu)[2]}, one);
  const Flux1Prepared twice =
      model.prepare({recorded.inputs(kGpu)[2].repeat({2})}, {.txt = one.txt.repeat({2, 1, 1}),
                                                             .pooled = one.pooled.repeat({2, 1}),
                                                             .guidance = one.guidance.repeat({2}),
                                                             .positions = one.positions});
  Tensor both = latents.repeat({2, 1, 1});
  both[1].mul_(0.5);
  const Tensor together = model.step(both, twice.text, twice.modulations[0], twice.rope);
  const Tensor first = model.step(latents, single.text, single.modulations[0], single.rope);
  const Tensor second =
      model.step(latents.mul(0.5), single.text, single.modulations[0], single.rope);
  EXPECT_GE(test::cosine(together[0].cpu(), first[0].cpu()), 0.99999);
  EXPECT_GE(test::cosine(together[1].cpu(), second[0].cpu()), 0.99999);
}

TEST(CudaEncoders, AgreeWithTheCpu) {
  DITQ_NEEDS_GPU();
  const auto weights = [](const char* component, at::ScalarType dtype, at::Device device) {
    const auto folder = test::tiny_flux() / component;
    return Weights(std::make_shared<const Checkpoint>(Checkpoint::open(folder.string())),
                   {.dtype = dtype, .quant = {}, .device = device});
  };
  const auto config = [](const char* component) {
    return read_json((test::tiny_flux() / component / "config.json").string());
  };
  const Tensor ids =
      from_values(std::vector<std::int64_t>{3, 5, 8, 13, 21, 34, 1, 0, 0}).unsqueeze(0);
  const auto t5 = [&](at::ScalarType dtype, at::Device device) {
    return T5Encoder(weights("text_encoder_2", dtype, device),
                     T5Config::parse(config("text_encoder_2"), "config.json"))(ids)
        .cpu();
  };
  EXPECT_GE(test::cosine(t5(at::kBFloat16, kGpu), t5(at::kFloat, at::kCPU)), 0.9995);
  EXPECT_GE(test::cosine(t5(at::kFloat, kGpu), t5(at::kFloat, at::kCPU)), 0.999999);
  const auto clip = [&](at::ScalarType dtype, at::Device device) {
    return ClipText(weights("text_encoder", dtype, device),
                    ClipTextConfig::parse(config("text_encoder"), "config.json"))(ids)
        .pooled.cpu();
  };
  EXPECT_GE(test::cosine(clip(at::kBFloat16, kGpu), clip(at::kFloat, at::kCPU)), 0.9995);
  const Tensor latents = normal(4, {1, 16, 20, 12}, at::kFloat);
  const auto vae = [&](at::ScalarType dtype, at::Device device) {
    return AutoencoderKl(weights("vae", dtype, device),
                         AutoencoderKlConfig::parse(config("vae"), "config.json"))
        .decode(on_device(latents, device))
        .cpu();
  };
  EXPECT_GE(test::cosine(vae(at::kFloat, kGpu), vae(at::kFloat, at::kCPU)), 0.99999);
  EXPECT_GE(test::cosine(vae(at::kBFloat16, kGpu), vae(at::kFloat, at::kCPU)), 0.999);
  const auto tiles = [&](at::ScalarType dtype, at::Device device) {
    AutoencoderKlConfig cut = AutoencoderKlConfig::parse(config("vae"), "config.json");
    cut.sample_size = 64;
    return AutoencoderKl(weights("vae", dtype, device), cut)
        .decode_tiled(on_device(latents, device))
        .cpu();
  };
  EXPECT_GE(test::cosine(tiles(at::kFloat, kGpu), tiles(at::kFloat, at::kCPU)), 0.99999);
  EXPECT_GE(test::cosine(tiles(at::kBFloat16, kGpu), tiles(at::kFloat, at::kCPU)), 0.999);
}

}  // namespace
}  // namespace ditq
