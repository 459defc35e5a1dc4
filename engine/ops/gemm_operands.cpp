#include "ops/gemm_operands.h"

#include <cstdint>

#include "ops/quantize.h"
#include "tensor/create.h"

namespace ditq {
namespace {

/// What products distinguish of an address.
constexpr std::int64_t kAlignment = 256;

constexpr float kInputScale = 0.03F;
constexpr float kWeightScale = 0.012F;

/// Normal values of a type, and room to begin at any address.
Tensor operand(
    std::uint64_t seed, std::int64_t count, GemmType type, float scale, at::Device device) {
  const Tensor values = normal(seed, {1, count + kAlignment}, at::kBFloat16, device);
  return to_form(values, {.e4m3 = type == GemmType::e4m3, .scale = scale});
}

}  // namespace

GemmOperands::GemmOperands(const GemmProblem& like, at::Device device) : problem_(like) {
  const auto scale = [&](const float* given, std::int64_t count, float value) {
    if (given == nullptr) return given;
    return static_cast<const float*>(keep(filled({count}, value, at::kFloat, device), nullptr));
  };
  problem_.x = keep(operand(1, like.m * like.x_stride, like.type, kInputScale, device), like.x);
  problem_.weight = keep(operand(2, like.n * like.k, like.type, kWeightScale, device), like.weight);
  if (like.bias != nullptr) {
    problem_.bias = keep(operand(3, like.n, GemmType::bf16, 1, device), like.bias);
  }
  const auto out_type = like.out_type == GemmType::e4m3 ? at::kFloat8_e4m3fn : at::kBFloat16;
  problem_.out = const_cast<void*>(
      keep(empty({1, like.m * like.out_stride + kAlignment}, out_type, device), like.out));
  // With scales of rows, those of the weight hold both.
  const bool rows = like.row_scales;
  problem_.weight_scale =
      scale(like.weight_scale, rows ? like.n : 1, rows ? kWeightScale * kInputScale : kWeightScale);
  problem_.input_scale = scale(like.input_scale, rows ? like.m : 1, rows ? 1 : kInputScale);
  problem_.out_scale = scale(like.out_scale, 1, 1 / kInputScale);
}

const void* GemmOperands::keep(const Tensor& values, const void* like) {
  memory_.push_back(values);
  const auto offset = reinterpret_cast<std::uintptr_t>(like) % kAlignment;
  return static_cast<const std::uint8_t*>(values.const_data_ptr()) + offset;
}

}  // namespace ditq
