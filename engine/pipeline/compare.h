#pragma once
// `ditq compare`: two checkpoints run one after the other with the same request, or two saved
// results.

#include "pipeline/engine.h"

namespace ditq {

/// Runs or reads both sides, measures, holds the bars of --require, looks for defects, and writes the report and the
/// pictures where they were asked for (<save_output_dir>/reference.png and candidate.png; of several runs
/// reference-000.png, …). Bars that are missed and defects are in the result; the report is written all the same.
///
/// Checkpoints: each side is loaded, warmed up, measured and freed before the next; the last measured results are
/// compared, and those of every further prompt and seed. What the request leaves open is resolved by the reference and
/// then holds for both.
/// Files: two trajectories (`latents` [B, N, …], `timesteps` [N] where there) of one request, two pictures, or two videos.
///
/// Errors: usage (counts, step index, bars, one side only, a picture against a trajectory),
/// file_not_found, unsupported (other file formats), missing_tensor, wrong_dtype, wrong_shape (both
/// sides named), unfair, storage, and those of load_pipeline, Pipeline::generate and the readers.
/// Source: SGLang bridge reference 6.
CompareResult compare(const CompareRequest& request);

}  // namespace ditq
