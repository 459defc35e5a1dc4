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

Json measure_step(const std::string& folder, int steps) {
  const auto begin = Clock::now();
  const TransformerSource source = resolve_transformer(folder, "");
  const Weights weights(source.tensors,
                        {.dtype = at::kBFloat16, .quant = source.quant, .device = kGpu});
  const Flux1Dims dims = parse_flux1_dims(source.config, source.config_path);
  const Flux1Transformer model(weights, dims);
  cuda().synchronize();
  const double load = seconds_since(begin);

  constexpr std::int64_t kText = 512;
  constexpr std::int64_t kSide = 64;
  constexpr std::int64_t kSteps = 28;
  std::vector<Tensor> timesteps;
  for (std::int64_t i = 0; i < kSteps; ++i) {
    timesteps.push_back(
        timestep_input(1000.0F - 35.0F * static_cast<float>(i), 1, at::kBFloat16, kGpu));
  }
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
  const auto step = [&](std::int64_t i) { stepper(latents, run, i % kSteps); };
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
  const std::vector<double> times = time_steps(step, 3.0, steps);
  const auto at = [&](double share) {
    return times[static_cast<std::size_t>(share * static_cast<double>(times.size() - 1))];
  };
  const CudaMemory memory = cuda().memory();
  return {{"transformer", folder},
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
