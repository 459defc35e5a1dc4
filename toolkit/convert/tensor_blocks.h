#pragma once
// An output shard as blocks of its file: each can be made on its own, from its place alone, on any thread.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/direct_io.h"
#include "convert/output_plan.h"

namespace ditq {

/// A shard with its layout fixed.
struct LaidOutShard {
  std::string name;  ///< file name
  SafetensorsLayout layout;
  std::vector<const PlannedTensor*> tensors;  ///< as layout.tensors
  std::vector<std::uint64_t> ends;            ///< of the tensors, bytes from the start of the file

  /// Bytes of the file.
  std::uint64_t size() const { return layout.head.size() + layout.data_size; }
};

/// Fixes a shard's layout. Errors: as lay_out_safetensors.
LaidOutShard lay_out(const PlannedShard& shard);

/// Makes blocks, with a buffer of its own for what it reads: one for each thread.
class BlockMaker {
 public:
  /// `stage`: bytes read at a time, at least kDirectLeast.
  explicit BlockMaker(std::uint64_t stage) : stage_(stage), buffer_(stage + 2 * kDirectAlignment) {}

  /// Fills `out` with the bytes of the shard's file from `offset` on.
  /// Errors: storage, file_changed, file_unreadable, not_a_number (a weight exceeds its amax so far that E4M3 has no
  /// number for it).
  void make(const LaidOutShard& shard, std::uint64_t offset, std::span<std::byte> out);

 private:
  void make_tensor(const PlannedTensor& tensor, std::uint64_t begin, std::span<std::byte> out);
  void copy(const TensorInfo& source, std::uint64_t begin, std::span<std::byte> out);
  void quantize(const TensorInfo& weight,
                float scale,
                std::uint64_t begin,
                std::span<std::byte> out);
  void follow_recipe(const PlannedTensor& tensor, std::uint64_t begin, std::span<std::byte> out);

  std::uint64_t stage_;
  AlignedBuffer buffer_;
  std::vector<std::byte> unit_;        // one unit of a recipe's output
  std::vector<std::byte> large_unit_;  // one of its input that is larger than a stage
};

}  // namespace ditq
