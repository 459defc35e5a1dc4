#pragma once
// `ditq generate`: prompts to files.

#include <functional>
#include <string>
#include <vector>

#include "pipeline/engine.h"
#include "pipeline/pipeline.h"

namespace ditq {

/// Says in one line what was loaded; `name` is the model's, or the side's of a comparison.
void log_summary(const PipelineDescription& pipeline, const std::string& name);

/// Runs every prompt and output of a request with a progress bar and hands over each picture as it is done. Output i of a
/// prompt uses seed + i.
void run_generations(Pipeline& pipeline,
                     const GenerateRequest& request,
                     bool keep_states,
                     const std::function<void(Generation&&)>& done);

/// The same, all at the end.
std::vector<Generation> run_generations(Pipeline& pipeline,
                                        const GenerateRequest& request,
                                        bool keep_states);

/// Writes what one pipeline resolved into the request, so that the other side of a comparison cannot decide otherwise.
void pin(GenerateRequest& request, const PictureRequest& resolved);

/// Loads, runs and writes pictures, trajectories and perf.json (of the last picture). All files are complete or absent.
GenerateResult generate(const GenerateRequest& request);

/// Writes a trajectory file (design: command-line contract). The request stands in the metadata as JSON.
void write_trajectory(const std::string& path, const Generation& generation, const Json& request);

}  // namespace ditq
