#include "tensor/tensor.h"

#include <array>
#include <utility>

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <fmt/format.h>

#include "base/error.h"
#include "kernels/cuda_device.h"

namespace ditq {
namespace {

constexpr std::array<std::pair<Dtype, at::ScalarType>, 16> kTypes{{
    {Dtype::boolean, at::kBool},
    {Dtype::u8, at::kByte},
    {Dtype::i8, at::kChar},
    {Dtype::f8_e5m2, at::kFloat8_e5m2},
    {Dtype::f8_e4m3, at::kFloat8_e4m3fn},
    {Dtype::f8_e8m0, at::kFloat8_e8m0fnu},
    {Dtype::i16, at::kShort},
    {Dtype::u16, at::kUInt16},
    {Dtype::f16, at::kHalf},
    {Dtype::bf16, at::kBFloat16},
    {Dtype::i32, at::kInt},
    {Dtype::u32, at::kUInt32},
    {Dtype::f32, at::kFloat},
    {Dtype::f64, at::kDouble},
    {Dtype::i64, at::kLong},
    {Dtype::u64, at::kUInt64},
}};

}  // namespace

at::ScalarType scalar_type(Dtype dtype) {
  for (const auto& [ours, theirs] : kTypes) {
    if (ours == dtype) return theirs;
  }
  throw Error(ErrorCode::unsupported, fmt::format("the engine has no dtype {}", name(dtype)));
}

Dtype dtype_of(at::ScalarType type) {
  for (const auto& [ours, theirs] : kTypes) {
    if (theirs == type) return ours;
  }
  throw Error(ErrorCode::unsupported,
              fmt::format("no file format holds tensors of {}", c10::toString(type)));
}

Tensor from_file(const TensorInfo& info) {
  return from_bytes({.bytes = info.bytes(), .owner = info.file}, info.dtype, info.shape);
}

Tensor from_bytes(const TensorBytes& bytes, Dtype dtype, const Shape& shape) {
  Shape extents = shape;
  at::ScalarType type = at::kByte;
  if (dtype == Dtype::f4) {
    if (!extents.empty()) extents.back() /= 2;
  } else {
    type = scalar_type(dtype);
  }
  if (bytes.bytes.empty()) return at::empty(extents, type);
  void* data = const_cast<std::byte*>(bytes.bytes.data());
  return at::from_blob(
      data, extents, [owner = bytes.owner](void*) {}, type);
}

Tensor on_device(const Tensor& tensor, at::Device device) {
  if (tensor.device() == device || !tensor.defined()) return tensor;
  if (!tensor.is_cpu() || !device.is_cuda()) return tensor.to(device);
  const Tensor source = tensor.contiguous();
  Tensor target = at::empty(source.sizes(), source.options().device(device));
  cuda().upload(target.mutable_data_ptr(), source.const_data_ptr(), source.nbytes());
  return target;
}

Bytes bytes_of(const Tensor& tensor) {
  DITQ_ASSERT(tensor.is_contiguous() && tensor.is_cpu());
  return {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()};
}

Shape shape_of(const Tensor& tensor) {
  return tensor.sizes().vec();
}

}  // namespace ditq
