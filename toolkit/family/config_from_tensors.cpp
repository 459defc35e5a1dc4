#include "family/config_from_tensors.h"

#include <utility>

#include <fmt/format.h>

#include "base/error.h"

namespace ditq {

TensorSizes::TensorSizes(const TensorTable& tensors, std::string path)
    : tensors_(tensors), path_(std::move(path)) {}

std::int64_t TensorSizes::extent(const std::string& tensor, std::size_t dimension) const {
  const auto found = tensors_.find(tensor);
  if (found == tensors_.end()) {
    throw Error(ErrorCode::missing_tensor, "there is no config, and the tensors do not tell it",
                {.path = path_, .tensor = tensor, .advice = "Give a folder with config.json"});
  }
  if (dimension >= found->second.shape.size()) {
    throw Error(ErrorCode::wrong_shape, "a tensor that tells a size has too few dimensions",
                {.path = path_, .tensor = tensor});
  }
  return found->second.shape[dimension];
}

std::int64_t TensorSizes::quotient(std::int64_t whole, std::int64_t part, const char* what) const {
  if (part < 1 || whole < part || whole % part != 0) {
    fail(fmt::format("{} would be {} / {}", what, whole, part));
  }
  return whole / part;
}

std::int64_t TensorSizes::blocks(const std::string& prefix, const std::string& tensor) const {
  std::int64_t count = 0;
  while (has(fmt::format("{}{}.{}", prefix, count, tensor))) ++count;
  return count;
}

void TensorSizes::fail(const std::string& sentence) const {
  throw Error(ErrorCode::bad_config, "there is no config, and the tensors do not tell it",
              {.path = path_, .found = sentence, .advice = "Give a folder with config.json"});
}

}  // namespace ditq
