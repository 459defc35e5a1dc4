#include "ptq/golden_export.h"

#include <algorithm>

#include "base/file.h"
#include "format/checkpoint.h"

namespace ditq::test {

QuantizeRequest restore_request(const std::string& model,
                                const std::filesystem::path& model_folder,
                                const std::string& shown,
                                const std::filesystem::path& state,
                                const std::string& hf_folder) {
  return {.model = model,
          .folder = model_folder.string(),
          .shown = shown,
          .states = {{"transformer", state.string()}},
          .hf_folder = hf_folder,
          .arithmetic = Arithmetic::cpu};
}

std::set<std::string> tensor_differences(const std::filesystem::path& ours,
                                         const std::filesystem::path& theirs) {
  const Checkpoint left = Checkpoint::open(ours.string());
  const Checkpoint right = Checkpoint::open(theirs.string());
  std::set<std::string> differences;
  for (const auto& [name, tensor] : left.tensors()) {
    const TensorInfo* other = right.find(name);
    if (other == nullptr) {
      differences.insert(name + " is only in ours");
    } else if (tensor->dtype != other->dtype || tensor->shape != other->shape) {
      differences.insert(name + " has another dtype or shape");
    } else if (!std::ranges::equal(tensor->bytes(), other->bytes())) {
      differences.insert(name + " has other bytes");
    }
  }
  for (const auto& [name, tensor] : right.tensors()) {
    if (left.find(name) == nullptr) differences.insert(name + " is only in theirs");
  }
  return differences;
}

std::string text_of(const std::filesystem::path& path) {
  return read_text(path.string());
}

}  // namespace ditq::test
