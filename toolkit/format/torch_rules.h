#pragma once
// What torch.save's globals mean: tensors as checked views of storages, dtypes and devices as
// texts, a few containers.

#include <map>
#include <memory>
#include <string>

#include "format/pickle_machine.h"
#include "format/zip.h"

namespace ditq {

/// The rules of one archive. `root` is the folder of its entries, with the slash.
class TorchRules : public PickleRules {
 public:
  TorchRules(std::shared_ptr<const InputFile> file,
             const std::map<std::string, ZipEntry>& entries,
             std::string root);

  bool knows(const std::string& global) const override;
  PickleNode* call(const std::string& global,
                   const PickleSequence& arguments,
                   PickleMachine& machine) override;
  PickleStorage load(const PickleNode& id) override;

  const std::string& path() const { return file_->path(); }
  /// The whole storage as a tensor of one dimension.
  TorchTensor whole(const PickleStorage& storage) const;

 private:
  PickleNode* make_tensor(const PickleSequence& arguments,
                          bool names_dtype,
                          PickleMachine& machine);
  TensorInfo storage_info(const PickleStorage& storage, Dtype dtype) const;
  void check_view(const TorchTensor& tensor) const;
  [[noreturn]] void fail(std::string_view sentence, ErrorFacts facts = {}) const;

  std::shared_ptr<const InputFile> file_;
  const std::map<std::string, ZipEntry>& entries_;
  std::string root_;
};

/// Whether a global is a dtype, such as "torch.bfloat16", which may stand as plain data.
bool is_torch_dtype(const std::string& global);

}  // namespace ditq
