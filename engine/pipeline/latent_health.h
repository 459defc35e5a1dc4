#pragma once
// What the latents of a run look like, for result_health.h.

#include <vector>

#include "pipeline/result_health.h"
#include "tensor/tensor.h"

namespace ditq {

/// One entry per step. Shapes: latents [B, N, …], as States has them.
std::vector<LatentStatistics> latent_statistics(const Tensor& latents);

}  // namespace ditq
