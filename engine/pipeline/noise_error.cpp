#include "pipeline/noise_error.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "ops/distance.h"
#include "tensor/create.h"

namespace ditq {
namespace {

/// Latents before every step: the initial ones, and those after every step but the last.
Tensor states_before(const Trajectory& trajectory) {
  const std::int64_t steps = trajectory.latents.size(1);
  const Tensor first = trajectory.initial_latents.unsqueeze(1);
  if (steps == 1) return first;
  return joined({first, trajectory.latents.narrow(1, 0, steps - 1)}, 1);
}

}  // namespace

NoiseBaseline noise_baseline(const PictureRequest& request, Generation run) {
  return {.request = request,
          .states = states_before(run.trajectory),
          .noise = run.trajectory.noise,
          .picture = std::move(run.picture)};
}

std::vector<NoiseBaseline> record_noise(Pipeline& baseline,
                                        const GenerateRequest& request,
                                        const std::function<void()>& on_step) {
  if (request.prompts.empty()) {
    throw Error(ErrorCode::usage, "no prompt: give --prompt or --prompts-file");
  }
  PictureRequest picture = baseline.resolve(request);
  picture.keep_states = true;
  picture.keep_noise = true;
  std::vector<NoiseBaseline> out;
  for (std::size_t i = 0; i < request.prompts.size(); ++i) {
    picture.prompt = request.prompts[i];
    picture.seed = request.seed + i;
    out.push_back(noise_baseline(picture, baseline.generate(picture, on_step)));
  }
  return out;
}

NoiseError noise_error(Pipeline& candidate,
                       const std::vector<NoiseBaseline>& baseline,
                       const std::function<void()>& on_step) {
  NoiseError out;
  for (const NoiseBaseline& run : baseline) {
    const Tensor found = candidate.predict_noise(run.request, run.states, on_step);
    DITQ_ASSERT(found.sizes() == run.noise.sizes());
    std::vector<double> l2;
    std::vector<double> cosine;
    for (std::int64_t step = 0; step < found.size(1); ++step) {
      const Deviation deviation = deviation_of(run.noise.select(1, step), found.select(1, step));
      l2.push_back(deviation.relative_l2);
      cosine.push_back(deviation.cosine);
    }
    out.l2.push_back(std::move(l2));
    out.cosine.push_back(std::move(cosine));
  }
  return out;
}

Json to_json(const NoiseError& error) {
  Json steps = Json::array();
  for (std::size_t step = 0; step < error.l2.front().size(); ++step) {
    double sum = 0;
    double worst = 1;
    for (std::size_t prompt = 0; prompt < error.l2.size(); ++prompt) {
      sum += error.l2[prompt][step];
      worst = error.cosine[prompt][step] >= worst ? worst : error.cosine[prompt][step];
    }
    steps.push_back({{"l2", sum / static_cast<double>(error.l2.size())}, {"cosine", worst}});
  }
  return {{"noise_l2", error.noise_l2()},         {"noise_l2_confidence", error.confidence()},
          {"worst_cosine", error.worst_cosine()}, {"prompts", error.l2.size()},
          {"steps", error.l2.front().size()},     {"per_step", steps}};
}

}  // namespace ditq
