#pragma once
// The quality figure of a transformer: how far its prediction strays from the baseline's, with every step asked at the
// latents of the baseline's own run, so that no step inherits the error of the one before.

#include <functional>
#include <vector>

#include "base/json.h"
#include "pipeline/measurements.h"
#include "pipeline/pipeline.h"

namespace ditq {

/// One run of the baseline: what it was asked, where it went, what it predicted there, and its picture.
struct NoiseBaseline {
  PictureRequest request;
  Tensor states;  ///< [1, N, tokens, C] latents before every step, run dtype, on the CPU
  Tensor noise;   ///< [1, N, tokens, C] predicted at them
  Picture picture;
};

/// What a run of the baseline leaves for the candidate; `run` was asked by `request` and kept its states and noise.
NoiseBaseline noise_baseline(const PictureRequest& request, Generation run);

/// Runs every prompt of the request once; prompt i uses seed + i. Errors: usage (no prompts), those of the pipeline.
std::vector<NoiseBaseline> record_noise(Pipeline& baseline,
                                        const GenerateRequest& request,
                                        const std::function<void()>& on_step);

/// Asks the candidate at every recorded state. Its pipeline must be of the baseline's family and sizes.
NoiseError noise_error(Pipeline& candidate,
                       const std::vector<NoiseBaseline>& baseline,
                       const std::function<void()>& on_step);

/// {"noise_l2", "noise_l2_confidence", "worst_cosine", "prompts", "steps", "per_step": [{"l2", "cosine"}]}: per step the
/// mean of the errors and the worst cosine over the prompts.
Json to_json(const NoiseError& error);

}  // namespace ditq
