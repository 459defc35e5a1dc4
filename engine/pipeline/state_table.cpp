#include "pipeline/state_table.h"

#include <map>
#include <utility>
#include <vector>

#include "base/error.h"
#include "format/safetensors.h"
#include "format/torch_pickle.h"

namespace ditq {
namespace {

class SafetensorsState : public StateTable {
 public:
  explicit SafetensorsState(const std::string& path) : file_(SafetensorsFile::open(path)) {
    for (const TensorInfo& info : file_.tensors) tensors_.emplace(info.name, &info);
  }
  const std::string& path() const override { return file_.path; }
  Tensor find(const std::string& key) const override {
    const auto found = tensors_.find(key);
    return found == tensors_.end() ? Tensor() : from_file(*found->second);
  }

 private:
  SafetensorsFile file_;
  std::map<std::string, const TensorInfo*> tensors_;
};

class TorchState : public StateTable {
 public:
  explicit TorchState(std::string path) : path_(std::move(path)) {
    const PicklePtr root = read_torch_checkpoint(path_);
    const PickleValue* state = root->find("model_state_dict");
    if (state == nullptr || state->dict() == nullptr) {
      throw Error(ErrorCode::missing_tensor, "not a checkpoint of ModelOpt",
                  {.path = path_, .expected = "a dict 'model_state_dict'"});
    }
    for (const auto& [key, value] : *state->dict()) {
      if (key->string() != nullptr && value->tensor() != nullptr) {
        tensors_.emplace(*key->string(), value);
      }
    }
  }
  const std::string& path() const override { return path_; }
  Tensor find(const std::string& key) const override {
    const auto found = tensors_.find(key);
    if (found == tensors_.end()) return {};
    const TorchTensor& tensor = *found->second->tensor();
    const auto bytes = std::make_shared<const std::vector<std::byte>>(tensor.read());
    return from_bytes({.bytes = *bytes, .owner = bytes}, tensor.storage.dtype, tensor.shape);
  }

 private:
  std::string path_;
  std::map<std::string, PicklePtr> tensors_;
};

}  // namespace

Tensor StateTable::at(const std::string& key) const {
  Tensor found = find(key);
  if (found.defined()) return found;
  throw Error(ErrorCode::missing_tensor, "the calibration's state lacks a tensor",
              {.path = path(), .tensor = key});
}

std::unique_ptr<const StateTable> open_state_table(const std::string& path) {
  if (path.ends_with(".pt")) return std::make_unique<TorchState>(path);
  return std::make_unique<SafetensorsState>(path);
}

}  // namespace ditq
