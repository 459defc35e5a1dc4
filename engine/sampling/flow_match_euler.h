#pragma once
// The flow-matching Euler schedule: sigmas from 1 to 0, timesteps = 1000 sigma.
// Source: diffusers scheduling_flow_match_euler_discrete.py 0.39; Esser et al. 2024.

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "tensor/tensor.h"

namespace ditq {

/// scheduler_config.json of a FlowMatchEulerDiscreteScheduler.
struct FlowMatchConfig {
  std::int64_t num_train_timesteps = 1000;
  double shift = 1.0;
  bool use_dynamic_shifting = false;
  double base_shift = 0.5;
  double max_shift = 1.15;
  std::int64_t base_image_seq_len = 256;
  std::int64_t max_image_seq_len = 4096;
  std::string time_shift_type = "exponential";  ///< or "linear"
  double shift_terminal = 0;                    ///< 0: not stretched

  /// Errors: bad_config for values out of range; unsupported for options that no FLUX pipeline uses (karras,
  /// exponential and beta sigmas, stochastic sampling, inverted sigmas).
  static FlowMatchConfig parse(const Json& config, const std::string& path);
};

/// Bit-equal to diffusers': f32 arithmetic where numpy uses it.
struct FlowMatchSchedule {
  std::vector<float> timesteps;  ///< N
  std::vector<float> sigmas;     ///< N + 1, the last is 0

  /// `steps` sigmas from 1 to 1 / steps, shifted for `image_tokens` packed latents.
  FlowMatchSchedule(const FlowMatchConfig& config, std::int64_t steps, std::int64_t image_tokens);

  std::size_t steps() const { return timesteps.size(); }
};

/// One Euler step: sample + (sigma_next - sigma) * velocity. In bf16 it rounds where PyTorch on a CPU rounds: the step
/// width to bf16, the product to bf16, the sum from f32.
/// Shapes: sample and velocity alike, bf16 or f32. Returns sample's dtype.
Tensor euler_step(const Tensor& sample, const Tensor& velocity, float sigma, float sigma_next);

}  // namespace ditq
