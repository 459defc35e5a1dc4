#pragma once
// Shards from files to files at the disk's speed: threads take blocks in file order, read what they are made of,
// compute and write them, each on its own; one more thread hashes the blocks in order. Memory is a fixed number of
// buffers, whatever the model's size; the bytes written do not depend on the number of threads.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "convert/tensor_blocks.h"

namespace ditq {

/// What a conversion may take of the machine.
struct PipelineLimits {
  std::uint64_t jobs = 0;        ///< threads that read, compute and write; 0: two a core, 8 to 16
  std::uint64_t max_memory = 0;  ///< bytes of resident memory of the process; 0: about 220 MiB
};

/// Called when a shard is complete and durable, with its place in the list and the SHA-256 of its file, on a thread of
/// the pipeline, for one shard after the other.
using ShardFinished = std::function<void(std::size_t shard, const std::string& sha256)>;

/// Writes the shards into `folder`. Draws a progress bar, and raises an interrupt within a fraction of a second.
/// A shard whose input changed meanwhile is not finished.
/// Errors: usage (max_memory is too small), storage, file_changed, file_unreadable, not_a_number, out_of_memory,
/// interrupted, and what `finished` raises; where several blocks fail, that of the first in file order.
void write_shards(const std::vector<LaidOutShard>& shards,
                  const std::string& folder,
                  const PipelineLimits& limits,
                  const ShardFinished& finished);

}  // namespace ditq
