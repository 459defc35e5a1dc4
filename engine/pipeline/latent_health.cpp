#include "pipeline/latent_health.h"

#include "pipeline/picture.h"

namespace ditq {

std::vector<LatentStatistics> latent_statistics(const Tensor& latents) {
  std::vector<LatentStatistics> out;
  for (std::int64_t i = 0; i < latents.size(1); ++i) {
    const Tensor step = latents.select(1, i);
    const std::int64_t non_finite = count_non_finite(step);
    out.push_back(
        {.values = step.numel(),
         .non_finite = non_finite,
         .uniform = non_finite == 0 && step.min().item<double>() == step.max().item<double>()});
  }
  return out;
}

}  // namespace ditq
