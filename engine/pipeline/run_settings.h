#pragma once
// Everything that a run's time depends on besides its checkpoints: what two runs must share to be compared.

#include <cstdint>

#include "pipeline/pipeline.h"

namespace ditq {

/// One measured run's request, with nothing left open.
struct RunSettings {
  PictureRequest picture;
  RunOptions run;
  std::int64_t warmup_runs = 0;  ///< pictures that the loaded pipeline had made before
};

/// perf.json's meta.settings. What does not apply to the run is null: FP8 attention's steps without it, threads on a GPU,
/// an FP4 backend where nobody chose one and nothing would use it.
Json settings_document(const RunSettings& settings, const PipelineDescription& pipeline);

}  // namespace ditq
