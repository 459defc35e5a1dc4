#include "format/tensor_view.h"

#include <utility>

#include "base/error.h"

namespace ditq {
namespace {

class CheckpointView : public TensorView {
 public:
  explicit CheckpointView(std::shared_ptr<const Checkpoint> checkpoint)
      : checkpoint_(std::move(checkpoint)) {
    for (const auto& [name, info] : checkpoint_->tensors()) {
      tensors_.emplace(name,
                       ViewedTensor{.dtype = info->dtype, .shape = info->shape, .origin = info});
    }
  }

  const std::string& path() const override { return checkpoint_->path(); }
  const std::map<std::string, ViewedTensor>& tensors() const override { return tensors_; }
  TensorBytes read(const std::string& name) const override {
    const TensorInfo& info = checkpoint_->at(name);
    return {.bytes = info.bytes(), .owner = info.file};
  }
  void release_pages() const override { checkpoint_->release_pages(); }

 private:
  std::shared_ptr<const Checkpoint> checkpoint_;
  std::map<std::string, ViewedTensor> tensors_;
};

}  // namespace

const ViewedTensor* TensorView::find(const std::string& name) const {
  const auto found = tensors().find(name);
  return found == tensors().end() ? nullptr : &found->second;
}

const ViewedTensor& TensorView::at(const std::string& name) const {
  if (const ViewedTensor* found = find(name)) return *found;
  throw Error(ErrorCode::missing_tensor, "the checkpoint lacks a tensor",
              {.path = path(), .tensor = name});
}

std::shared_ptr<const TensorView> view_of(std::shared_ptr<const Checkpoint> checkpoint) {
  return std::make_shared<const CheckpointView>(std::move(checkpoint));
}

}  // namespace ditq
