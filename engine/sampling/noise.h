#pragma once
// Initial latents: the noise that diffusers draws for a seed.

#include <cstdint>

#include "tensor/tensor.h"

namespace ditq {

/// randn of [B, channels, height, width] from torch's generator of `device`, drawn in `dtype` (bf16 noise is another sequence
/// than the rounded f32 noise of the same seed). height and width are in latent cells.
Tensor draw_noise(std::uint64_t seed,
                  at::IntArrayRef shape,
                  at::ScalarType dtype,
                  at::Device device = at::kCPU);

/// [B, C, H, W] to [B, H/2 * W/2, 4 C]: each token is a 2 x 2 patch. H and W even.
/// Source: diffusers pipeline_flux.py 0.39 (_pack_latents).
Tensor pack_latents(const Tensor& latents);

/// The inverse. `height` and `width` in latent cells.
Tensor unpack_latents(const Tensor& packed, std::int64_t height, std::int64_t width);

}  // namespace ditq
