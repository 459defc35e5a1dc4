#pragma once
// torch.save's files, written: what torch.load reads with and without weights_only.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "format/pickle_writer.h"
#include "format/tensor_info.h"

namespace ditq {

/// A tensor of the file, contiguous, with a storage of its own.
struct TorchTensorToWrite {
  Dtype dtype = Dtype::f32;
  Shape shape;
};

/// Takes a tensor's bytes, whole or in pieces.
using ByteSink = std::function<void(Bytes)>;

/// The value that stands for tensor `index` of a file.
/// Errors: unsupported (a dtype that has no storage type in torch).
PickleItem torch_tensor(std::size_t index, const TorchTensorToWrite& tensor);

/// "torch.bfloat16" as a value. Errors: unsupported.
PickleItem torch_dtype(Dtype dtype);

/// torch.Size of a shape, as a value.
PickleItem torch_size(const Shape& shape);

/// Writes `root` and its tensors to `path`, whose stem names the folder in the archive. `fill` is asked for the bytes of
/// one tensor after the other. Equal content gives equal bytes. The file appears complete or not at all: it is written
/// under another name beside its place.
/// Errors: storage, and what `fill` raises.
/// Source: torch/serialization.py (_save) and caffe2/serialize/inline_container.cc @ 2.11.0.
void write_torch_file(const std::string& path,
                      const PickleItem& root,
                      const std::vector<TorchTensorToWrite>& tensors,
                      const std::function<void(std::size_t index, const ByteSink& sink)>& fill);

}  // namespace ditq
