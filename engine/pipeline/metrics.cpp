#include "pipeline/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "base/error.h"
#include "ops/distance.h"
#include "tensor/create.h"

namespace ditq {
namespace {

std::string shape_text(const Tensor& tensor) {
  return to_string(shape_of(tensor));
}

void require_equal_shapes(const Tensor& reference, const Tensor& candidate, const char* what) {
  if (reference.sizes() == candidate.sizes()) return;
  throw Error(ErrorCode::wrong_shape,
              fmt::format("{} of reference and candidate differ in shape", what),
              {.expected = shape_text(reference), .found = shape_text(candidate)});
}

std::optional<double> timestep(const States& states, std::size_t step) {
  if (!states.timesteps) return std::nullopt;
  return static_cast<double>((*states.timesteps)[step]);
}

void require_timesteps(const States& states, std::size_t steps) {
  if (!states.timesteps || states.timesteps->size() >= steps) return;
  throw Error(
      ErrorCode::wrong_shape, "a trajectory has fewer timesteps than steps",
      {.expected = std::to_string(steps), .found = std::to_string(states.timesteps->size())});
}

Json metrics_json(const TensorMetrics& metrics) {
  return {{"cosine_similarity", metrics.cosine_similarity},
          {"mae", metrics.mae},
          {"mse", metrics.mse},
          {"rmse", metrics.rmse},
          {"max_abs", metrics.max_abs},
          {"l2", metrics.l2}};
}

Json optional_number(const std::optional<double>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json step_json(const StepMetrics& metrics, std::size_t index) {
  Json out = metrics_json(metrics);
  out["step_index"] = index;
  out["reference_timestep"] = optional_number(metrics.reference_timestep);
  out["candidate_timestep"] = optional_number(metrics.candidate_timestep);
  return out;
}

}  // namespace

double psnr_db(double mse) {
  if (mse == 0) return std::numeric_limits<double>::infinity();
  return 20 * std::log10(255.0) - 10 * std::log10(mse);
}

TensorMetrics tensor_metrics(const Tensor& reference, const Tensor& candidate) {
  require_equal_shapes(reference, candidate, "tensors");
  if (reference.numel() == 0) {
    throw Error(ErrorCode::wrong_shape, "there is nothing to compare: the tensors are empty",
                {.found = shape_text(reference)});
  }
  const Distance found = distance(reference, candidate);
  return {.cosine_similarity = found.cosine_similarity,
          .mae = found.mae,
          .mse = found.mse,
          .rmse = std::sqrt(found.mse),
          .max_abs = found.max_abs,
          .l2 = found.l2};
}

FrameMetrics frame_metrics(const Tensor& reference, const Tensor& candidate) {
  FrameMetrics out{tensor_metrics(reference, candidate), 0};
  out.psnr_db = psnr_db(out.mse);
  return out;
}

std::size_t select_step(std::int64_t index, std::int64_t steps) {
  if (steps < 1) throw Error(ErrorCode::wrong_shape, "a trajectory without steps");
  const std::int64_t step = index < 0 ? index + steps : index;
  if (step < 0 || step >= steps) {
    throw Error(
        ErrorCode::usage, "--trajectory-step-index is out of range",
        {.expected = fmt::format("{} to {}", -steps, steps - 1), .found = std::to_string(index)});
  }
  return static_cast<std::size_t>(step);
}

TrajectoryMetrics trajectory_metrics(const States& reference,
                                     const States& candidate,
                                     std::int64_t step_index) {
  require_equal_shapes(reference.latents, candidate.latents, "trajectories");
  if (reference.latents.dim() < 2) {
    throw Error(ErrorCode::wrong_shape, "trajectory latents have no step dimension",
                {.expected = "[batch, steps, …]", .found = shape_text(reference.latents)});
  }
  const std::int64_t steps = reference.latents.size(1);
  TrajectoryMetrics out{.shape = shape_of(reference.latents),
                        .steps = {},
                        .selected = select_step(step_index, steps)};
  require_timesteps(reference, static_cast<std::size_t>(steps));
  require_timesteps(candidate, static_cast<std::size_t>(steps));
  for (std::int64_t i = 0; i < steps; ++i) {
    const auto step = static_cast<std::size_t>(i);
    const Tensor ours = reference.latents.select(1, i);
    const Tensor theirs = candidate.latents.select(1, i);
    out.steps.push_back({tensor_metrics(ours, theirs), deviation_of(ours, theirs).relative_l2,
                         timestep(reference, step), timestep(candidate, step)});
  }
  return out;
}

OutputMetrics output_metrics(const std::vector<Tensor>& reference,
                             const std::vector<Tensor>& candidate) {
  if (reference.size() != candidate.size()) {
    throw Error(
        ErrorCode::wrong_shape, "reference and candidate differ in their number of frames",
        {.expected = std::to_string(reference.size()), .found = std::to_string(candidate.size())});
  }
  if (reference.empty()) throw Error(ErrorCode::wrong_shape, "there are no frames to compare");
  OutputMetrics out;
  for (std::size_t i = 0; i < reference.size(); ++i) {
    require_equal_shapes(reference[i], candidate[i], "frames");
    out.frames.push_back(frame_metrics(reference[i], candidate[i]));
  }
  out.all_frames = frame_metrics(stacked(reference, /*dim=*/0), stacked(candidate, /*dim=*/0));
  return out;
}

Tensor frame_tensor(const Picture& picture) {
  Tensor out = empty({picture.height, picture.width, 3}, at::kByte);
  DITQ_ASSERT(picture.pixels.size() == static_cast<std::size_t>(out.numel()));
  std::copy(picture.pixels.begin(), picture.pixels.end(), out.mutable_data_ptr<std::uint8_t>());
  return out;
}

Json to_json(const FrameMetrics& metrics) {
  Json out = metrics_json(metrics);
  out["psnr_db"] = metrics.psnr_db;
  return out;
}

Json to_json(const TrajectoryMetrics& metrics) {
  Json steps = Json::array();
  for (std::size_t i = 0; i < metrics.steps.size(); ++i) {
    steps.push_back(step_json(metrics.steps[i], i));
  }
  const Json selected = steps[metrics.selected];
  return {{"trajectory_shape", metrics.shape},
          {"num_steps", metrics.steps.size()},
          {"selected_step_index", metrics.selected},
          {"selected_step_metrics", selected},
          {"per_step_metrics", steps}};
}

Json to_json(const OutputMetrics& metrics) {
  const std::size_t middle = metrics.frames.size() / 2;
  return {{"num_frames", metrics.frames.size()},
          {"frame0_metrics", to_json(metrics.frames.front())},
          {"mid_frame_index", middle},
          {"mid_frame_metrics", to_json(metrics.frames[middle])},
          {"all_frames_metrics", to_json(metrics.all_frames)}};
}

}  // namespace ditq
