#pragma once
// A planned output onto the disk: all of it or nothing, and what a run that was stopped had finished is used again.

#include <cstdint>
#include <string>

#include "convert/output_plan.h"
#include "convert/shard_pipeline.h"

namespace ditq {

/// Where an output goes, and what making it may take.
struct OutputSettings {
  std::string target;      ///< as resolve_output_dir gives it
  bool overwrite = false;  ///< replace an existing folder
  PipelineLimits limits;
};

/// What was moved.
struct OutputReport {
  std::size_t reused_shards = 0;    ///< of a run that did not finish
  std::uint64_t written_bytes = 0;  ///< of shards, without reused ones
  double seconds = 0;

  /// "4.6 GB in 3.2 s, 1.4 GB/s", and how many shards were there already.
  std::string text() const;
};

/// Writes shards, side files, documents and checksums (convert/checksums.h) and puts the folder in its place. When it
/// is stopped by a signal or by storage that fails or is full, finished shards stay in the partial folder, which the
/// next run with the same inputs takes over.
/// Errors: as AtomicOutput, write_shards and copy_side_files; storage (not enough space, before anything is written).
OutputReport write_output(const OutputPlan& plan, const OutputSettings& settings);

}  // namespace ditq
