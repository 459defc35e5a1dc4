#pragma once
// Writes torch.save files of the kind ModelOpt saves, and damaged ones, for tests.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace ditq::test {

/// A float32 tensor of a checkpoint.
struct SavedTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

/// Bytes of {state_key: {name: tensor, …}} as torch.save writes them. `extra_opcodes` stand in front of the dict's first
/// entry: for pickles that do what they should not.
std::string torch_checkpoint(const std::vector<SavedTensor>& tensors,
                             const std::string& state_key = "model_state_dict",
                             const std::string& extra_opcodes = "");

/// Bytes of a torch.save file with this pickle and these float32 storages.
std::string torch_archive(const std::string& pickle,
                          const std::vector<std::vector<float>>& storages);

}  // namespace ditq::test
