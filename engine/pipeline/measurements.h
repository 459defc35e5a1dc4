#pragma once
// What `ditq compare` has measured, as numbers: no torch here, so that bars on them can be parsed and
// checked without it.

#include <cstddef>
#include <optional>
#include <vector>

#include "format/tensor_info.h"

namespace ditq {

/// Metrics of one pair of tensors.
struct TensorMetrics {
  double cosine_similarity = 0;
  double mae = 0;
  double mse = 0;
  double rmse = 0;  ///< in double precision, from the f32 mse
  double max_abs = 0;
  double l2 = 0;
};

/// Metrics of one pair of 8-bit pictures, or of stacks of them.
struct FrameMetrics : TensorMetrics {
  double psnr_db = 0;  ///< 20 log10(255) - 10 log10(mse); infinite for equal pictures
};

/// Metrics of the latents after one step.
struct StepMetrics : TensorMetrics {
  double relative_l2 = 0;  ///< |candidate - reference| / |reference|
  std::optional<double> reference_timestep;
  std::optional<double> candidate_timestep;
};

/// Every step of two runs.
struct TrajectoryMetrics {
  Shape shape;
  std::vector<StepMetrics> steps;
  std::size_t selected = 0;  ///< the step that the short result shows
};

/// Every frame of two results; a picture is one frame.
struct OutputMetrics {
  std::vector<FrameMetrics> frames;
  FrameMetrics all_frames;   ///< of the stacks
  std::vector<double> ssim;  ///< of each frame; empty where frames are smaller than its window
  std::vector<double>
      clip;  ///< of each frame: cosine of CLIP's embeddings; empty where no encoder was given
};

/// How far a candidate's predictions stray from the baseline's at the baseline's own latents (pipeline/noise_error.h).
/// Both tables: prompts, then steps; never empty.
struct NoiseError {
  std::vector<std::vector<double>>
      l2;  ///< relative L2 error of noise_pred, |candidate - baseline| / |baseline|
  std::vector<std::vector<double>> cosine;  ///< of the flattened predictions

  double noise_l2() const;  ///< mean of l2 over all prompts and steps: the quality figure
  double confidence()
      const;  ///< half the width of its 95 % interval, prompts being the samples; 0 for one
  double worst_cosine() const;  ///< smallest of all; NaN counts as smallest
};

/// All that was measured of one run: one prompt and seed, or one pair of files.
struct RunMeasurements {
  std::optional<TrajectoryMetrics> trajectory;
  std::optional<OutputMetrics> output;
};

/// All that was measured.
struct Measurements {
  std::vector<RunMeasurements> runs;  ///< never empty
  std::optional<NoiseError> noise;    ///< of all runs
};

}  // namespace ditq
