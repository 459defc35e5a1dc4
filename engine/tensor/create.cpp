#include "tensor/create.h"

#include <algorithm>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/stack.h>

namespace ditq {
namespace {

template <typename Value>
Tensor copied(const std::vector<Value>& values, at::ScalarType dtype) {
  Tensor out = at::empty({static_cast<std::int64_t>(values.size())}, dtype);
  std::copy(values.begin(), values.end(), out.mutable_data_ptr<Value>());
  return out;
}

}  // namespace

Tensor empty(at::IntArrayRef shape, at::ScalarType dtype) {
  return at::empty(shape, dtype);
}

Tensor filled(at::IntArrayRef shape, double value, at::ScalarType dtype) {
  return at::full(shape, value, at::TensorOptions(dtype));
}

Tensor from_values(const std::vector<std::int64_t>& values) {
  return copied(values, at::kLong);
}

Tensor from_values(const std::vector<float>& values) {
  return copied(values, at::kFloat);
}

Tensor stacked(const std::vector<Tensor>& parts, std::int64_t dim) {
  return at::stack(parts, dim);
}

Tensor normal(std::uint64_t seed, at::IntArrayRef shape, at::ScalarType dtype) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  return at::randn(shape, generator, at::TensorOptions(dtype));
}

}  // namespace ditq
