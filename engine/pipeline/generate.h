#pragma once
// `ditq generate`: prompts to files.

#include <string>
#include <vector>

#include "pipeline/engine.h"
#include "pipeline/pipeline.h"

namespace ditq {

/// Says in one line what was loaded; `name` is the model's, or the side's of a comparison.
void log_summary(const PipelineDescription& pipeline, const std::string& name);

/// Runs every prompt and output of a request with a progress bar. Output i of a prompt uses seed + i.
std::vector<Generation> run_generations(Pipeline& pipeline,
                                        const GenerateRequest& request,
                                        bool keep_states);

/// Loads, runs and writes pictures, trajectories and perf.json. All files are complete or absent.
GenerateResult generate(const GenerateRequest& request);

/// Writes a trajectory file (design: command-line contract). The request stands in the metadata as JSON.
void write_trajectory(const std::string& path, const Generation& generation, const Json& request);

}  // namespace ditq
