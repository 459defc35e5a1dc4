#pragma once
// Form 2 of `ditq compare`: two checkpoints, run one after the other on the same requests.

#include <optional>
#include <string>
#include <vector>

#include "pipeline/compared_run.h"
#include "pipeline/engine.h"
#include "pipeline/frame_comparison.h"
#include "pipeline/pipeline.h"

namespace ditq {

/// What is known of one side apart from its pictures.
struct SideRuns {
  std::vector<double> seconds;  ///< each measured run of the first prompt, from request to picture
  std::vector<double> milliseconds;     ///< the same, as the pipeline measured itself
  std::vector<double> peak_mb;          ///< the same, this process
  std::string fp4_backend = "default";  ///< as it was asked for
  Json document;                        ///< side_document
};

/// Everything that both sides' runs gave.
struct CheckpointRuns {
  PictureRequest settings;  ///< what both sides ran with; prompt and seed are those of the last run
  std::string device;
  bool vae_tiling = false;  ///< whether both decoded in tiles
  SideRuns reference;
  SideRuns candidate;
  std::vector<ComparedRun> runs;
  std::optional<NoiseError> noise;
  std::vector<ComparedPicture> pictures;
};

/// One prompt and seed.
struct PlannedRun {
  std::string prompt;
  std::uint64_t seed = 0;
};

/// Every prompt with each of the seeds, or prompt i with seed + i.
std::vector<PlannedRun> planned_runs(const CompareRequest& request);

/// Loads the reference, runs it, keeps its latents in the run's dtype and its pictures; frees it; the same for the
/// candidate, each of whose runs is measured at once. Pictures are written below save_output_dir, where that is given.
/// `noise`: also ask the candidate at the reference's states. `clip`: may be empty.
/// Errors: as compare.
CheckpointRuns run_checkpoints(const CompareRequest& request,
                               bool noise,
                               const PictureSimilarity& clip);

}  // namespace ditq
