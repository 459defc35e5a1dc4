#include "pipeline/latents_file.h"

#include <filesystem>

#include <fmt/format.h>

#include "base/error.h"
#include "format/safetensors.h"
#include "sampling/noise.h"

namespace ditq {
namespace {

struct Source {
  std::string path;
  std::string tensor;
};

/// A file whose own name holds a colon is taken as it is.
Source split(const std::string& source) {
  const std::size_t colon = source.rfind(':');
  if (colon == std::string::npos || std::filesystem::exists(source)) return {source, ""};
  return {source.substr(0, colon), source.substr(colon + 1)};
}

const TensorInfo& choose(const SafetensorsFile& file, const std::string& name) {
  if (const TensorInfo* info = file.find(name.empty() ? "latents" : name)) return *info;
  if (name.empty() && file.tensors.size() == 1) return file.tensors.front();
  throw Error(
      ErrorCode::missing_tensor, "no initial latents in this file",
      {.path = file.path,
       .expected = name.empty() ? "a tensor 'latents', or exactly one tensor" : "'" + name + "'",
       .found = fmt::format("{} tensors", file.tensors.size()),
       .advice = "Name one as FILE:NAME"});
}

}  // namespace

Tensor read_latents(const std::string& source, const Shape& packed, const Shape& unpacked) {
  const Source from = split(source);
  const SafetensorsFile file = SafetensorsFile::open(from.path);
  const TensorInfo& info = choose(file, from.tensor);
  if (info.dtype != Dtype::f32 && info.dtype != Dtype::bf16 && info.dtype != Dtype::f16) {
    throw Error(ErrorCode::wrong_dtype, "initial latents have the wrong dtype",
                {.path = file.path,
                 .tensor = info.name,
                 .expected = "F32, BF16 or F16",
                 .found = std::string(name(info.dtype))});
  }
  if (info.shape != packed && info.shape != unpacked) {
    throw Error(ErrorCode::wrong_shape, "initial latents do not fit the picture's size",
                {.path = file.path,
                 .tensor = info.name,
                 .expected = fmt::format("{} packed or {} unpacked", to_string(packed),
                                         to_string(unpacked)),
                 .found = to_string(info.shape)});
  }
  const Tensor latents = from_file(info);
  if (!latents.isfinite().all().item().toBool()) {
    throw Error(ErrorCode::not_a_number, "initial latents hold NaN or infinite values",
                {.path = file.path, .tensor = info.name});
  }
  return info.shape == packed ? latents : pack_latents(latents);
}

}  // namespace ditq
