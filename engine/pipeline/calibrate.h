#pragma once
// `ditq quantize`, the engine's half: runs the pipeline on prompts and measures what its layers are given.

#include "pipeline/engine.h"

namespace ditq {

/// Calibrates and writes the state file. Errors: usage, those of load_pipeline, not_a_number, and of files.
CalibrateResult calibrate(const CalibrateRequest& request);

}  // namespace ditq
