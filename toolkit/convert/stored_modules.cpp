#include "convert/stored_modules.h"

#include <cmath>
#include <span>

#include <fmt/format.h>

#include "base/error.h"
#include "quant/nvfp4.h"

namespace ditq {
namespace {

constexpr std::int64_t kBlockBytes = static_cast<std::int64_t>(kNvfp4Block / 2);

ErrorFacts facts(const TensorInfo& tensor, std::string expected, std::string found) {
  return {.path = tensor.file->path(),
          .tensor = tensor.name,
          .expected = std::move(expected),
          .found = std::move(found)};
}

bool is_marker(const std::string& tensor, const DialectPlace& place) {
  return tensor.find("_quantizer.") != std::string::npos || place.parameter == "comfy_quant" ||
         place.parameter == "scaled_fp8";
}

/// One float32 for each part at most, all of them finite and above zero.
void check_scales(const TensorInfo& scale, std::size_t parts) {
  if (scale.dtype != Dtype::f32) {
    throw Error(ErrorCode::wrong_dtype, "an NVFP4 scale has the wrong dtype",
                facts(scale, "F32", std::string(name(scale.dtype))));
  }
  const std::uint64_t count = scale.elements();
  if (count != 1 && count != parts) {
    throw Error(ErrorCode::wrong_shape, "an NVFP4 scale must hold one element",
                facts(scale, parts == 1 ? "[] or [1]" : fmt::format("[], [1] or [{}]", parts),
                      to_string(scale.shape)));
  }
  std::vector<float> values(count);
  scale.file->read(scale.offset, std::as_writable_bytes(std::span(values)));
  for (const float value : values) {
    if (std::isfinite(value) && value > 0.0f) continue;
    throw Error(ErrorCode::bad_scale,
                "an NVFP4 scale cannot be right: the layer would be silent or NaN",
                facts(scale, "a finite number above zero", fmt::format("{}", value)));
  }
}

[[noreturn]] void fail_missing(const StoredModule& module, const std::string& parameter) {
  throw Error(ErrorCode::weight_without_scale, "an NVFP4 weight lacks a scale",
              facts(*module.find("weight"), module.name + "." + parameter, "nothing"));
}

}  // namespace

const TensorInfo* StoredModule::find(const std::string& parameter) const {
  const auto found = tensors.find(parameter);
  return found == tensors.end() ? nullptr : found->second;
}

std::int64_t StoredModule::rows() const {
  const TensorInfo* tensor = find("weight") != nullptr ? find("weight") : find("bias");
  return tensor == nullptr || tensor->shape.empty() ? 0 : tensor->shape[0];
}

StoredModules stored_modules(const Checkpoint& checkpoint, const DialectNames& names) {
  StoredModules out;
  for (const auto& [tensor, info] : checkpoint.tensors()) {
    const std::optional<DialectPlace> place = names.place(tensor);
    if (!place) {
      ++out.foreign;
      continue;
    }
    if (is_marker(tensor, *place)) continue;
    const std::string module = split_tensor_name(tensor).module;
    StoredModule& stored = out.modules[module];
    stored.name = module;
    stored.parts = place->parts;
    stored.swap_halves = place->swap_halves;
    const auto [there, is_new] = stored.tensors.emplace(place->parameter, info);
    if (is_new) continue;
    throw Error(ErrorCode::duplicate_tensor, "a tensor is there twice under different names",
                facts(*info, "one of them", fmt::format("'{}'", there->second->name)));
  }
  return out;
}

void check_nvfp4_blocks(const StoredModule& module, bool comfy) {
  const TensorInfo& weight = *module.find("weight");
  if (weight.shape.size() != 2 || weight.shape[1] < 1 || weight.shape[1] % kBlockBytes != 0) {
    throw Error(ErrorCode::wrong_shape, "a packed weight is no matrix of whole blocks",
                facts(weight, "[rows, bytes], a row a multiple of 8 bytes: 16 elements",
                      to_string(weight.shape)));
  }
  const TensorInfo* scales = module.find("weight_scale");
  if (scales == nullptr) fail_missing(module, "weight_scale");
  if (scales->dtype == Dtype::f8_e4m3 || (comfy && scales->dtype == Dtype::u8)) return;
  throw Error(ErrorCode::wrong_dtype, "NVFP4 block scales have the wrong dtype",
              facts(*scales, "F8_E4M3", std::string(name(scales->dtype))));
}

void check_nvfp4_scale(const StoredModule& module, const std::string& parameter) {
  const TensorInfo* scale = module.find(parameter);
  if (scale != nullptr) return check_scales(*scale, module.parts.size());
  if (parameter != "input_scale") fail_missing(module, parameter);
}

}  // namespace ditq
