#pragma once
// A checkpoint: one safetensors file, or a folder of shards with or without an index, as one table of tensors.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "format/safetensors.h"

namespace ditq {

/// How strictly index and shards must agree.
struct CheckpointOptions {
  /// Indexes are looked for in this order: model.safetensors.index.json, diffusion_pytorch_model.safetensors.index.json,
  /// then the alphabetically first *.safetensors.index.json (SGLang bridge 2.2).
  bool require_index_for_shards = true;
};

class Checkpoint {
 public:
  /// `path`: a .safetensors file, or a folder. Every shard is opened and validated; shards named by an index must lie
  /// in the folder; the index must name exactly the tensors that its shards hold.
  /// Errors: as SafetensorsFile::open; file_not_found, ambiguous_shards, missing_shard, shard_outside, bad_index,
  /// index_disagrees, duplicate_tensor.
  static Checkpoint open(const std::string& path, const CheckpointOptions& options = {});

  const std::string& path() const { return path_; }
  /// File name of the index, if there is one.
  const std::optional<std::string>& index_name() const { return index_name_; }
  /// Shards by file name, sorted.
  const std::map<std::string, SafetensorsFile>& shards() const { return shards_; }
  /// File name of the first shard in the index's document order (the only one without an index).
  const std::string& first_shard() const { return first_shard_; }

  /// All tensors, sorted by name.
  const std::map<std::string, const TensorInfo*>& tensors() const { return tensors_; }
  const TensorInfo* find(const std::string& name) const;
  /// Errors: missing_tensor, naming the checkpoint.
  const TensorInfo& at(const std::string& name) const;
  /// Bytes of all tensors.
  std::uint64_t total_size() const;

 private:
  std::string path_;
  std::optional<std::string> index_name_;
  std::string first_shard_;
  std::map<std::string, SafetensorsFile> shards_;
  std::map<std::string, const TensorInfo*> tensors_;
};

}  // namespace ditq
