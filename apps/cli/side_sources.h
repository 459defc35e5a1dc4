#pragma once
// Checkpoints of one of two sides: --reference-… and --candidate-….

#include <map>
#include <string>
#include <vector>

#include "pipeline/engine.h"

namespace ditq {

/// The components of one side: those in `shared` whose names begin with "<side>_", which are taken out of it
/// (--candidate-vae-path), and `pairs` of "component=path" as --<side>-component-path takes them.
/// Errors: usage (no such pair).
std::map<std::string, std::string> take_side_components(const std::string& side,
                                                        const std::vector<std::string>& pairs,
                                                        std::map<std::string, std::string>& shared);

/// The shared sources under one side's own.
PipelineSources with_side(PipelineSources base, const PipelineSources& side);

}  // namespace ditq
