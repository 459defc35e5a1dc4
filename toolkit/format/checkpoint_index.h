#pragma once
// The *.safetensors.index.json beside a sharded checkpoint: which shard holds which tensor.

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ditq {

/// A validated weight_map.
struct CheckpointIndex {
  std::vector<std::pair<std::string, std::string>>
      weight_map;  ///< (tensor, shard) in document order, never empty
};

/// Reads an index. Shard names are plain file names.
/// Errors: file_not_found, file_unreadable, json_syntax, json_too_deep, bad_index, shard_outside.
CheckpointIndex read_checkpoint_index(const std::string& path);

/// The index that counts among a folder's file names: model.safetensors.index.json, then
/// diffusion_pytorch_model.safetensors.index.json, then the alphabetically first
/// *.safetensors.index.json.
/// Source: SGLang bridge reference 2.2.
std::optional<std::string> choose_index(const std::vector<std::string>& file_names);

}  // namespace ditq
