#include "tensor/weights.h"

#include <utility>

#include "base/error.h"

namespace ditq {

Weights::Weights(std::shared_ptr<const Checkpoint> checkpoint, WeightsOptions options)
    : Weights(view_of(std::move(checkpoint)), std::move(options)) {}

Weights::Weights(std::shared_ptr<const TensorView> tensors, WeightsOptions options)
    : shared_(std::make_shared<Shared>()) {
  for (const auto& [name, tensor] : tensors->tensors()) shared_->used.emplace(name, false);
  shared_->tensors = std::move(tensors);
  shared_->options = std::move(options);
  if (const LayerSwitch* layers = layer_switch()) {
    WeightsOptions second = shared_->options;
    second.layer_switch = nullptr;
    second.quant = layers->quant();
    shared_->other = Weights(layers->tensors(), std::move(second)).shared_;
  }
}

Weights::Weights(std::shared_ptr<Shared> shared, std::string prefix)
    : shared_(std::move(shared)), prefix_(std::move(prefix)) {}

std::optional<Weights> Weights::other() const {
  if (shared_->other == nullptr) return std::nullopt;
  return Weights(shared_->other, prefix_);
}

Weights Weights::operator/(std::string_view name) const {
  return {shared_, prefix_ + std::string(name) + "."};
}

Weights Weights::operator/(std::size_t index) const {
  return *this / std::to_string(index);
}

bool Weights::has(std::string_view name) const {
  return shared_->tensors->find(full_name(name)) != nullptr;
}

const ViewedTensor& Weights::info(std::string_view name) const {
  const std::string full = full_name(name);
  const ViewedTensor& found = shared_->tensors->at(full);
  shared_->used[full] = true;
  return found;
}

ErrorFacts Weights::where(std::string_view name) const {
  const TensorInfo& stored = *info(name).origin;
  return {.path = stored.file->path(), .tensor = stored.name};
}

Tensor Weights::raw(std::string_view name) const {
  const ViewedTensor& found = info(name);
  return from_bytes(shared_->tensors->read(full_name(name)), found.dtype, found.shape);
}

Tensor Weights::stored(std::string_view name) const {
  return on_device(raw(name), device());
}

Tensor Weights::plain(std::string_view name, const Shape& shape) const {
  const ViewedTensor& found = info(name);
  if (found.shape != shape) {
    ErrorFacts facts = where(name);
    facts.expected = to_string(shape);
    facts.found = to_string(found.shape);
    throw Error(ErrorCode::wrong_shape, "a tensor does not fit its layer", facts);
  }
  return stored(name).to(dtype());
}

Tensor Weights::optional(std::string_view name, const Shape& shape) const {
  return has(name) ? plain(name, shape) : Tensor();
}

std::string Weights::full_name(std::string_view name) const {
  return prefix_ + std::string(name);
}

std::string Weights::module() const {
  return prefix_.empty() ? prefix_ : prefix_.substr(0, prefix_.size() - 1);
}

std::vector<std::string> Weights::unused() const {
  std::vector<std::string> names;
  for (const auto& [name, used] : shared_->used) {
    if (!used) names.push_back(name);
  }
  return names;
}

}  // namespace ditq
