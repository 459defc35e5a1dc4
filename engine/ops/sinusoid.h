#pragma once
// Sinusoidal features of scalars.

#include "tensor/tensor.h"

namespace ditq {

/// [cos(t f_i), sin(t f_i)] with f_i = max_period^(-i / (channels / 2)), in f32.
/// Shapes: t [B] any float dtype; returns [B, channels] f32.
/// Source: diffusers embeddings.py 0.39 (get_timestep_embedding with flip_sin_to_cos, downscale_freq_shift 0).
Tensor sinusoid(const Tensor& t, std::int64_t channels, double max_period);

}  // namespace ditq
