#include "tensor/weights.h"

#include <utility>

#include "base/error.h"

namespace ditq {

Weights::Weights(std::shared_ptr<const Checkpoint> checkpoint, WeightsOptions options)
    : shared_(std::make_shared<Shared>()) {
  for (const auto& [name, info] : checkpoint->tensors()) shared_->used.emplace(name, false);
  shared_->checkpoint = std::move(checkpoint);
  shared_->options = std::move(options);
}

Weights::Weights(std::shared_ptr<Shared> shared, std::string prefix)
    : shared_(std::move(shared)), prefix_(std::move(prefix)) {}

Weights Weights::operator/(std::string_view name) const {
  return {shared_, prefix_ + std::string(name) + "."};
}

Weights Weights::operator/(std::size_t index) const {
  return *this / std::to_string(index);
}

bool Weights::has(std::string_view name) const {
  return shared_->checkpoint->find(full_name(name)) != nullptr;
}

const TensorInfo& Weights::info(std::string_view name) const {
  const std::string full = full_name(name);
  const TensorInfo& found = shared_->checkpoint->at(full);
  shared_->used[full] = true;
  return found;
}

Tensor Weights::raw(std::string_view name) const {
  return from_file(info(name));
}

Tensor Weights::plain(std::string_view name, const Shape& shape) const {
  const TensorInfo& found = info(name);
  if (found.shape != shape) {
    throw Error(ErrorCode::wrong_shape, "a tensor does not fit its layer",
                {.path = found.file->path(),
                 .tensor = found.name,
                 .expected = to_string(shape),
                 .found = to_string(found.shape)});
  }
  return from_file(found).to(dtype());
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
