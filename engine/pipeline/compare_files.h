#pragma once
// Form 1 of `ditq compare`: results that were saved before.

#include <vector>

#include "pipeline/compared_run.h"
#include "pipeline/engine.h"
#include "pipeline/frame_comparison.h"
#include "pipeline/requirements.h"
#include "pipeline/saved_result.h"

namespace ditq {

/// What two files gave.
struct SavedResults {
  Json report;  ///< reference, candidate, settings, sides
  ComparedRun run;
  std::vector<ComparedPicture> pictures;
};

/// Reads both files and measures them. `clip`: may be empty.
/// Errors: as compare; usage where a bar asks for ssim of pictures that are smaller than its window.
SavedResults measure_files(const CompareRequest& request,
                           ResultKind kind,
                           const std::vector<Requirement>& requirements,
                           const PictureSimilarity& clip);

}  // namespace ditq
