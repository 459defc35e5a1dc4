#include <gtest/gtest.h>

#include "base/error.h"
#include "sampling/denoise.h"
#include "sampling/noise.h"
#include "support/tensors.h"
#include "tensor/create.h"

namespace ditq {
namespace {

const std::string kEngineData = "engine";

Json schedules() {
  return read_json((test::data(kEngineData) / "flow_match.json").string());
}

TEST(FlowMatchEuler, SchedulesAreBitEqualToDiffusers) {
  const Json rows = schedules();
  for (const auto& [name, row] : rows.items()) {
    const FlowMatchSchedule schedule(FlowMatchConfig::parse(row["config"], name),
                                     row["steps"].get<std::int64_t>(),
                                     row["image_seq_len"].get<std::int64_t>());
    EXPECT_EQ(schedule.timesteps, row["timesteps"].get<std::vector<float>>()) << name;
    EXPECT_EQ(schedule.sigmas, row["sigmas"].get<std::vector<float>>()) << name;
  }
}

TEST(FlowMatchEuler, ScheduleOfTheTinyPipelineIsTheGoldenOne) {
  const std::string path = (test::tiny_flux() / "scheduler/scheduler_config.json").string();
  const FlowMatchSchedule schedule(FlowMatchConfig::parse(read_json(path), path), 8, 256);
  const auto file = test::data(kEngineData) / "p0_8steps_bf16.safetensors";
  EXPECT_EQ(test::max_abs(from_values(schedule.timesteps), test::load(file, "timesteps")), 0);
  EXPECT_EQ(test::max_abs(from_values(schedule.sigmas), test::load(file, "sigmas")), 0);
}

TEST(FlowMatchEuler, OneStepGoesFromOneToZero) {
  const FlowMatchSchedule schedule(FlowMatchConfig{.shift = 1.0}, 1, 4096);
  EXPECT_EQ(schedule.sigmas, (std::vector<float>{1, 0}));
  EXPECT_EQ(schedule.timesteps, std::vector<float>{1000});
}

ErrorCode config_error(const Json& change) {
  Json config = {{"_class_name", "FlowMatchEulerDiscreteScheduler"}};
  config.update(change);
  try {
    FlowMatchConfig::parse(config, "scheduler_config.json");
  } catch (const Error& error) {
    return error.code();
  }
  return ErrorCode::usage;
}

TEST(FlowMatchEuler, RefusesWhatItCannotDo) {
  EXPECT_EQ(config_error({{"_class_name", "DDIMScheduler"}}), ErrorCode::unsupported);
  EXPECT_EQ(config_error({{"use_karras_sigmas", true}}), ErrorCode::unsupported);
  EXPECT_EQ(config_error({{"stochastic_sampling", true}}), ErrorCode::unsupported);
  EXPECT_EQ(config_error({{"shift", "3"}}), ErrorCode::json_type);
  EXPECT_EQ(config_error({{"shift", 0}}), ErrorCode::bad_config);
  EXPECT_EQ(config_error({{"max_image_seq_len", 256}}), ErrorCode::bad_config);
  EXPECT_EQ(config_error({{"time_shift_type", "cubic"}}), ErrorCode::bad_config);
}

TEST(EulerStep, RoundsWhereTorchRoundsInBf16) {
  const Tensor sample = normal(1, {1, 7, 64}, at::kBFloat16);
  const Tensor velocity = normal(2, {1, 7, 64}, at::kBFloat16);
  const float width = 0.7332F - 0.8318F;
  const Tensor product = velocity.to(at::kFloat)
                             .mul(filled({1}, width, at::kBFloat16).to(at::kFloat))
                             .to(at::kBFloat16);
  const Tensor expected = sample.to(at::kFloat).add(product.to(at::kFloat)).to(at::kBFloat16);
  EXPECT_EQ(test::max_abs(euler_step(sample, velocity, 0.8318F, 0.7332F), expected), 0);
}

TEST(Noise, IsWhatDiffusersDrawsForTheSeed) {
  const auto file = test::data(kEngineData) / "seed_noise.safetensors";
  for (const std::uint64_t seed :
       {std::uint64_t{0}, std::uint64_t{42}, std::uint64_t{123456789012}}) {
    for (const auto& [dtype, name] : {std::pair{at::kFloat, "f32"}, {at::kBFloat16, "bf16"}}) {
      const Tensor noise = pack_latents(draw_noise(seed, {1, 16, 8, 6}, dtype));
      const Tensor expected = test::load(file, "seed" + std::to_string(seed) + ".64x48." + name);
      EXPECT_EQ(noise.scalar_type(), expected.scalar_type());
      EXPECT_EQ(test::max_abs(noise, expected), 0) << seed << " " << name;
    }
  }
}

TEST(Noise, UnpackingUndoesPacking) {
  const Tensor latents = draw_noise(3, {1, 16, 10, 6}, at::kFloat);
  const Tensor packed = pack_latents(latents);
  EXPECT_EQ(packed.sizes(), at::IntArrayRef({1, 15, 64}));
  EXPECT_EQ(test::max_abs(unpack_latents(packed, 10, 6), latents), 0);
}

TEST(Denoise, IntegratesAConstantVelocityExactly) {
  const FlowMatchSchedule schedule(FlowMatchConfig{.shift = 1.0}, 5, 16);
  std::size_t heard = 0;
  const Tensor end = denoise([](const Tensor& x, std::size_t) { return x.mul(0).add(2); },
                             filled({1, 16, 4}, 1, at::kFloat), schedule,
                             [&](std::size_t step, const Tensor&) { EXPECT_EQ(step, heard++); });
  EXPECT_EQ(heard, 5);
  // From sigma 1 to 0 at velocity 2: 1 - 2. Five roundings of f32.
  EXPECT_LE(test::max_abs(end, filled({1, 16, 4}, -1, at::kFloat)), 1e-6);
}

}  // namespace
}  // namespace ditq
