#pragma once
// A checkpoint: one safetensors file, or a folder of shards with or without an index, as one table
// of tensors.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "format/safetensors.h"

namespace ditq {

/// What is accepted beyond a single file and a folder with an index.
struct CheckpointOptions {
  /// A folder of several shards needs an index. Otherwise all its *.safetensors files together are
  /// the checkpoint, in the order of their names.
  bool require_index_for_shards = true;
};

/// Tensors of one or several files under one table. Movable, not copyable: the table points into
/// the shards.
class Checkpoint {
 public:
  /// `path`: a .safetensors file, or a folder. Indexes are looked for in this order:
  /// model.safetensors.index.json, diffusion_pytorch_model.safetensors.index.json, then the
  /// alphabetically first *.safetensors.index.json. Every shard is opened and validated; shards
  /// named by an index must lie in the folder; the index must name exactly the tensors that its
  /// shards hold. A second copy of a tensor is tolerated where the index says which shard counts.
  /// Errors: as SafetensorsFile::open; file_not_found, ambiguous_shards, missing_shard,
  /// shard_outside, bad_index, json_syntax (the index), index_disagrees, duplicate_tensor.
  /// Source: SGLang bridge reference 2.2, 2.6.
  static Checkpoint open(const std::string& path, const CheckpointOptions& options = {});

  /// These *.safetensors files of a folder together, without an index. Errors: as open.
  static Checkpoint open_files(const std::string& folder, const std::vector<std::string>& names);

  Checkpoint(Checkpoint&&) noexcept = default;
  Checkpoint& operator=(Checkpoint&&) noexcept = default;
  Checkpoint(const Checkpoint&) = delete;
  Checkpoint& operator=(const Checkpoint&) = delete;

  /// The file or folder as it was given to open().
  const std::string& path() const { return path_; }
  /// File name of the index, if there is one.
  const std::optional<std::string>& index_name() const { return index_name_; }
  /// Shards by file name, sorted.
  const std::map<std::string, SafetensorsFile>& shards() const { return shards_; }
  /// File name of the first shard in the index's document order (the only one without an index).
  const std::string& first_shard() const { return first_shard_; }

  /// All tensors, sorted by name.
  const std::map<std::string, const TensorInfo*>& tensors() const { return tensors_; }
  /// The tensor of that name, or nullptr.
  const TensorInfo* find(const std::string& name) const;
  /// Errors: missing_tensor, naming the checkpoint.
  const TensorInfo& at(const std::string& name) const;
  /// Bytes of all tensors in the table.
  std::uint64_t total_size() const;
  /// Gives the mapped pages of all shards back to the system; see InputFile::release_pages.
  void release_pages() const;

 private:
  Checkpoint() = default;
  void open_shard(const std::string& folder, const std::string& name);
  void open_folder(const CheckpointOptions& options);
  void open_indexed(const std::string& index_name);
  void collect_unindexed();

  std::string path_;
  std::optional<std::string> index_name_;
  std::string first_shard_;
  std::map<std::string, SafetensorsFile> shards_;
  std::map<std::string, const TensorInfo*> tensors_;
};

}  // namespace ditq
