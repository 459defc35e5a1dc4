#pragma once
// Tensors that are made rather than read, and their way into the files of one component.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/progress.h"
#include "format/safetensors.h"

namespace ditq {

/// Writes elements [begin, end) of a tensor into `out`, its bytes from the first of them on.
using Fill = std::function<void(std::uint64_t begin, std::uint64_t end, std::byte* out)>;

/// A tensor to be made. `elements` counts what `fill` counts: values, or bytes of packed codes.
struct MadeTensor {
  TensorToWrite target;
  std::uint64_t elements = 0;
  Fill fill;
};

/// Values of a shape.
std::uint64_t element_count(const Shape& shape);

/// Random values of a normal distribution that depend on seed and name alone.
MadeTensor bf16_tensor(
    std::uint64_t seed, const std::string& name, const Shape& shape, float mean, float deviation);

/// One f32.
MadeTensor value_tensor(const std::string& name, float value);

/// Bytes of all of them.
std::uint64_t byte_count(const std::vector<MadeTensor>& tensors);

/// Writes them into `folder` as `file`.safetensors, or as numbered shards of up to 9.9 GB with their index. All cores
/// make values; memory is that of one piece of 64 MiB. Returns the number of shards. Errors: storage, interrupted.
std::size_t write_made_tensors(const std::vector<MadeTensor>& tensors,
                               const std::string& folder,
                               const std::string& file,
                               ProgressBar& progress);

}  // namespace ditq
