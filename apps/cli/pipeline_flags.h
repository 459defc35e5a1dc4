#pragma once
// The flags that builders share: what a conversion may take of the machine.

#include <cstdint>
#include <string>

#include "convert/shard_pipeline.h"
#include "flags.h"

namespace ditq {

/// The flags' values as they were typed.
struct PipelineFlags {
  std::uint64_t jobs = 0;
  std::string max_memory;
};

/// Declares --jobs and --max-memory in a group of their own; `target` lives until they are parsed.
void add_pipeline_flags(Flags& flags, PipelineFlags& target);

/// What they say. Errors: usage (no number of bytes).
PipelineLimits parse_pipeline_flags(const PipelineFlags& flags);

}  // namespace ditq
