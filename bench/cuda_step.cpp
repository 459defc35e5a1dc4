#include <algorithm>
#include <chrono>
#include <vector>

#include "convert/component_source.h"
#include "cuda_bench.h"
#include "family/flux1.h"
#include "kernels/cuda_device.h"
#include "models/flux1.h"
#include "models/flux1_steps.h"
#include "sampling/denoise.h"
#include "tensor/create.h"

namespace ditq::bench {
namespace {

const at::Device kGpu(at::kCUDA, 0);
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

double gib(std::size_t bytes) {
  return static_cast<double>(bytes) / (1 << 30);
}

std::size_t checkpoint_bytes(const TransformerSource& source) {
  std::size_t bytes = 0;
  for (const auto& [name, info] : source.checkpoint->tensors()) bytes += info->size;
  return bytes;
}

/// Bits that the device keeps of each parameter of the layers that are quantized; 0 where none is.
double quantized_bits(const Weights& weights) {
  double bits = 0;
  double parameters = 0;
  for (const LayerRecord& layer : weights.layers()) {
    if (layer.scheme == "bf16") continue;
    bits += 8 * static_cast<double>(layer.memory);
    double count = layer.scheme == "nvfp4" ? 2 : 1;  // codes in a byte
    for (const std::int64_t extent :
         weights.tensors().tensors().at(layer.module + ".weight").shape) {
      count *= static_cast<double>(extent);
    }
    parameters += count;
  }
  return parameters == 0 ? 0 : bits / parameters;
}

/// Milliseconds of each of `count` replayed steps, after `warm` seconds of them.
std::vector<double> time_steps(const std::function<void(std::int64_t)>& step,
                               double warm,
                               int count) {
  const auto begin = Clock::now();
  std::int64_t number = 0;
  while (seconds_since(begin) < warm) {
    step(number++);
    cuda().synchronize();
  }
  std::vector<std::unique_ptr<CudaEvent>> points;
  points.push_back(cuda().record());
  for (int i = 0; i < count; ++i) {
    step(number++);
    points.push_back(cuda().record());
  }
  points.back()->wait();
  std::vector<double> out;
  for (std::size_t i = 1; i < points.size(); ++i) {
    out.push_back(points[i]->milliseconds_since(*points[i - 1]));
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

Json measure_step(const std::string& folder, const StepOptions& options) {
  const auto begin = Clock::now();
  const TransformerSource source = resolve_transformer(folder, "");
  const Weights weights(
      source.tensors, {.dtype = at::kBFloat16,
                       .quant = source.quant,
                       .nvfp4_activations =
                           options.fp4_activations ? Nvfp4Activations::fp4 : Nvfp4Activations::bf16,
                       .device = kGpu});
  const Flux1Dims dims = parse_flux1_dims(source.config, source.config_path);
  const Flux1Transformer model(weights, dims);
  cuda().synchronize();
  const double load = seconds_since(begin);
  const std::size_t weight_bytes = cuda().memory().allocated;

  constexpr std::int64_t kText = 512;
  constexpr std::int64_t kSide = 64;
  constexpr std::int64_t kSteps = 28;
  std::vector<Tensor> timesteps;
  for (std::int64_t i = 0; i < kSteps; ++i) {
    timesteps.push_back(
        timestep_input(1000.0F - 35.0F * static_cast<float>(i), 1, at::kBFloat16, kGpu));
  }
  const AttentionKernel attention =
      options.fp8_attention ? AttentionKernel::fp8 : AttentionKernel::fastest;
  const auto plan_begin = Clock::now();
  if (options.fp8_attention) {
    const std::string why_not = model.why_no_fp8_attention(1, kText + kSide * kSide);
    if (!why_not.empty()) return {{"transformer", folder}, {"not", why_not}};
  }
  const double plan = seconds_since(plan_begin);
  const auto prepare_begin = Clock::now();
  const Flux1Prepared run =
      model.prepare(timesteps, {.txt = device_normal(1, {1, kText, dims.joint_attention_dim}),
                                .pooled = device_normal(2, {1, dims.pooled_projection_dim}),
                                .guidance = filled({1}, 3.5, at::kFloat, kGpu),
                                .positions = flux1_positions(kText, kSide, kSide, at::kBFloat16)});
  cuda().synchronize();
  const double prepare = seconds_since(prepare_begin);

  const Tensor latents = device_normal(3, {1, kSide * kSide, dims.in_channels});
  Flux1Steps stepper(model);
  const auto step = [&](std::int64_t i) { stepper(latents, run, i % kSteps, attention); };
  const auto first_begin = Clock::now();
  step(0);
  cuda().synchronize();
  const double first = seconds_since(first_begin);
  const auto capture_begin = Clock::now();
  step(1);
  cuda().synchronize();
  const double capture = seconds_since(capture_begin);
  // As bench/flux1_cuda times its peers: a few steps to warm up, then each on its own.
  std::vector<double> alone;
  for (int i = 0; i < 23; ++i) {
    const auto start = cuda().record();
    step(i);
    const auto end = cuda().record();
    end->wait();
    if (i >= 3) alone.push_back(end->milliseconds_since(*start));
  }
  std::sort(alone.begin(), alone.end());
  const std::vector<double> times = time_steps(step, 3.0, options.steps);
  const auto at = [&](double share) {
    return times[static_cast<std::size_t>(share * static_cast<double>(times.size() - 1))];
  };
  const CudaMemory memory = cuda().memory();
  return {{"transformer", folder},
          {"attention", options.fp8_attention ? "fp8" : "bf16"},
          {"NVFP4 activations", options.fp4_activations ? "fp4" : "bf16"},
          {"FP8 attention's kernels made in ms", plan * 1000},
          {"weights GB", static_cast<double>(weight_bytes) * 1e-9},
          {"bits per parameter of quantized layers", quantized_bits(weights)},
          {"load s", load},
          {"checkpoint GiB", gib(checkpoint_bytes(source))},
          {"load GiB/s", gib(checkpoint_bytes(source)) / load},
          {"modulations for 28 steps ms", prepare * 1000},
          {"first step ms", first * 1000},
          {"second step with capture ms", capture * 1000},
          {"step ms, each alone, p50", alone[alone.size() / 2]},
          {"step ms p10", at(0.1)},
          {"step ms p50", at(0.5)},
          {"step ms p90", at(0.9)},
          {"peak allocated GiB", gib(memory.peak_allocated)},
          {"peak reserved GiB", gib(memory.peak_reserved)}};
}

}  // namespace ditq::bench
