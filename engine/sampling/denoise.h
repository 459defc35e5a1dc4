#pragma once
// The denoising loop.

#include <functional>

#include "sampling/flow_match_euler.h"

namespace ditq {

/// Predicts the velocity at `latents` for a step of the schedule, counted from 0. The result may be overwritten by the
/// next call.
using Velocity = std::function<Tensor(const Tensor& latents, std::size_t step)>;

/// Hears the state after every step; `step` counts from 0.
using StepListener = std::function<void(std::size_t step, const Tensor& latents)>;

/// Integrates from the first sigma to 0. `latents` [B, tokens, C] in the run's dtype; returns the same shape.
/// Source: BFL flux src/flux/sampling.py @ 802fb47 (denoise), diffusers pipeline_flux.py 0.39.
Tensor denoise(const Velocity& velocity,
               Tensor latents,
               const FlowMatchSchedule& schedule,
               const StepListener& after_step);

/// What the network is called with at a schedule's timestep: rounded to the run's dtype before and after the division by 1000.
Tensor timestep_input(float timestep,
                      std::int64_t batch,
                      at::ScalarType dtype,
                      at::Device device = at::kCPU);

}  // namespace ditq
