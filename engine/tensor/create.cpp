#include "tensor/create.h"

#include <algorithm>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/ops/cat.h>
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

Tensor empty(at::IntArrayRef shape, at::ScalarType dtype, at::Device device) {
  return at::empty(shape, at::TensorOptions(dtype).device(device));
}

Tensor filled(at::IntArrayRef shape, double value, at::ScalarType dtype, at::Device device) {
  return at::full(shape, value, at::TensorOptions(dtype).device(device));
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

Tensor joined(const std::vector<Tensor>& parts, std::int64_t dim) {
  return at::cat(parts, dim);
}

Tensor normal(std::uint64_t seed, at::IntArrayRef shape, at::ScalarType dtype, at::Device device) {
  const auto options = at::TensorOptions(dtype).device(device);
  if (device.is_cpu())
    return at::randn(shape, at::make_generator<at::CPUGeneratorImpl>(seed), options);
  at::Generator generator = at::globalContext().defaultGenerator(device).clone();
  generator.set_current_seed(seed);
  return at::randn(shape, generator, options);
}

}  // namespace ditq
