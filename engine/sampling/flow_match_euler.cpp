#include "sampling/flow_match_euler.h"

#include <cmath>

#include <fmt/format.h>

#include "base/error.h"

namespace ditq {
namespace {

template <typename Value>
void read(const Json& config, const char* key, Value& value, const std::string& path) {
  const auto found = config.find(key);
  if (found == config.end() || found->is_null()) return;
  const bool fits = std::is_same_v<Value, bool>          ? found->is_boolean()
                    : std::is_same_v<Value, std::string> ? found->is_string()
                    : std::is_integral_v<Value>          ? found->is_number_integer()
                                                         : found->is_number();
  if (!fits) {
    throw Error(ErrorCode::json_type, fmt::format("scheduler: key '{}' has the wrong type", key),
                {.path = path, .found = found->dump()});
  }
  value = found->template get<Value>();
}

void refuse_options(const Json& config, const std::string& path) {
  for (const char* key : {"use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas",
                          "stochastic_sampling", "invert_sigmas"}) {
    bool value = false;
    read(config, key, value, path);
    if (!value) continue;
    throw Error(ErrorCode::unsupported, fmt::format("scheduler option '{}' is not supported", key),
                {.path = path, .advice = "Set it to false"});
  }
}

/// calculate_shift of diffusers' FluxPipeline, in double as Python computes it.
double dynamic_shift(const FlowMatchConfig& config, std::int64_t tokens) {
  const auto base = static_cast<double>(config.base_image_seq_len);
  const auto most = static_cast<double>(config.max_image_seq_len);
  const double slope = (config.max_shift - config.base_shift) / (most - base);
  const double offset = config.base_shift - slope * base;
  return static_cast<double>(tokens) * slope + offset;
}

/// numpy.linspace(1, 1 / steps, steps) as f32.
std::vector<float> linear_sigmas(std::int64_t steps) {
  const double last = 1.0 / static_cast<double>(steps);
  std::vector<float> sigmas;
  for (std::int64_t i = 0; i < steps; ++i) {
    const double width = steps > 1 ? (last - 1.0) / static_cast<double>(steps - 1) : 0;
    const bool is_last = steps > 1 && i == steps - 1;
    sigmas.push_back(static_cast<float>(is_last ? last : static_cast<double>(i) * width + 1.0));
  }
  return sigmas;
}

void shift_sigmas(std::vector<float>& sigmas, const FlowMatchConfig& config, std::int64_t tokens) {
  if (config.use_dynamic_shifting) {
    const double mu = dynamic_shift(config, tokens);
    // numpy takes the Python number into the array's f32 before it adds.
    const auto factor = static_cast<float>(config.time_shift_type == "linear" ? mu : std::exp(mu));
    for (float& sigma : sigmas) sigma = factor / (factor + (1.0F / sigma - 1.0F));
    return;
  }
  const auto shift = static_cast<float>(config.shift);
  const auto shift_minus_one = static_cast<float>(config.shift - 1.0);
  for (float& sigma : sigmas) sigma = shift * sigma / (1.0F + shift_minus_one * sigma);
}

void stretch_to_terminal(std::vector<float>& sigmas, double terminal) {
  const float scale = (1.0F - sigmas.back()) / static_cast<float>(1.0 - terminal);
  if (scale == 0) return;  // one step, at sigma 1: diffusers divides by zero here
  for (float& sigma : sigmas) sigma = 1.0F - (1.0F - sigma) / scale;
}

}  // namespace

FlowMatchConfig FlowMatchConfig::parse(const Json& config, const std::string& path) {
  const std::string class_name = require_string(config, "_class_name", path);
  if (class_name != "FlowMatchEulerDiscreteScheduler") {
    throw Error(ErrorCode::unsupported, "the scheduler's class is not supported",
                {.path = path, .expected = "FlowMatchEulerDiscreteScheduler", .found = class_name});
  }
  refuse_options(config, path);
  FlowMatchConfig out;
  read(config, "num_train_timesteps", out.num_train_timesteps, path);
  read(config, "shift", out.shift, path);
  read(config, "use_dynamic_shifting", out.use_dynamic_shifting, path);
  read(config, "base_shift", out.base_shift, path);
  read(config, "max_shift", out.max_shift, path);
  read(config, "base_image_seq_len", out.base_image_seq_len, path);
  read(config, "max_image_seq_len", out.max_image_seq_len, path);
  read(config, "time_shift_type", out.time_shift_type, path);
  read(config, "shift_terminal", out.shift_terminal, path);
  const bool usable = out.num_train_timesteps > 0 && std::isfinite(out.shift) && out.shift > 0 &&
                      out.max_image_seq_len > out.base_image_seq_len &&
                      out.base_image_seq_len > 0 &&
                      (out.time_shift_type == "exponential" || out.time_shift_type == "linear") &&
                      out.shift_terminal >= 0 && out.shift_terminal < 1;
  if (!usable) {
    throw Error(
        ErrorCode::bad_config, "the scheduler's values cannot be used",
        {.path = path,
         .expected =
             "positive shift and num_train_timesteps, base_image_seq_len < max_image_seq_len, "
             "time_shift_type exponential or linear, shift_terminal in [0, 1)"});
  }
  return out;
}

FlowMatchSchedule::FlowMatchSchedule(const FlowMatchConfig& config,
                                     std::int64_t steps,
                                     std::int64_t image_tokens)
    : sigmas(linear_sigmas(steps)) {
  shift_sigmas(sigmas, config, image_tokens);
  if (config.shift_terminal > 0) stretch_to_terminal(sigmas, config.shift_terminal);
  for (const float sigma : sigmas) {
    timesteps.push_back(sigma * static_cast<float>(config.num_train_timesteps));
  }
  sigmas.push_back(0);
}

Tensor euler_step(const Tensor& sample, const Tensor& velocity, float sigma, float sigma_next) {
  const float width = sigma_next - sigma;
  if (sample.scalar_type() == at::kFloat) return sample.add(velocity.mul(width));
  const auto rounded = static_cast<float>(at::BFloat16(width));
  return sample.to(at::kFloat).add(velocity.mul(rounded).to(at::kFloat)).to(sample.scalar_type());
}

}  // namespace ditq
