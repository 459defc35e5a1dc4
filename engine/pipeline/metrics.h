#pragma once
// What `ditq compare` measures: SGLang's metrics on trajectories and pictures, under SGLang's keys,
// and SSIM beside them.
// Source: SGLang bridge reference 6.

#include <optional>
#include <vector>

#include "base/json.h"
#include "media/picture.h"
#include "pipeline/measurements.h"
#include "tensor/tensor.h"

namespace ditq {

/// The states of one run: latents after every step, stacked on dim 1.
struct States {
  Tensor latents;                               ///< [B, N, ...]
  std::optional<std::vector<float>> timesteps;  ///< N, where they are known
};

/// The decibels of SGLang's frame metrics: infinite for 0. A NaN stays NaN.
double psnr_db(double mse);

/// Metrics of one pair of tensors of any number dtype, taken to f32.
/// Errors: wrong_shape (shapes differ, or the tensors are empty).
TensorMetrics tensor_metrics(const Tensor& reference, const Tensor& candidate);

/// As tensor_metrics, of 8-bit values.
FrameMetrics frame_metrics(const Tensor& reference, const Tensor& candidate);

/// The step that an index names; negative ones count from the end.
/// Errors: wrong_shape (no steps), usage (out of range).
std::size_t select_step(std::int64_t index, std::int64_t steps);

/// Metrics of every step.
/// Errors: wrong_shape (shapes differ, no step dimension, no steps, fewer timesteps than
/// steps), usage (step_index out of range).
TrajectoryMetrics trajectory_metrics(const States& reference,
                                     const States& candidate,
                                     std::int64_t step_index);

/// Metrics of every frame, u8 [H, W, 3] each.
/// Errors: wrong_shape (counts or sizes differ, no frames).
OutputMetrics output_metrics(const std::vector<Tensor>& reference,
                             const std::vector<Tensor>& candidate);

/// A picture as u8 [H, W, 3]: a copy.
Tensor frame_tensor(const Picture& picture);

/// SGLang's object of one frame, and its `trajectory_metrics` and `output_metrics`.
Json to_json(const FrameMetrics& metrics);
Json to_json(const TrajectoryMetrics& metrics);
Json to_json(const OutputMetrics& metrics);

}  // namespace ditq
