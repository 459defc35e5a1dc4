#pragma once
// torch.save files: a zip archive with one pickle and one stored entry per storage. The pickle is
// read by an interpreter of the few opcodes that torch writes for dicts of tensors; it builds plain
// data and byte ranges and never executes anything. Any other opcode or global is an error that
// names it.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "format/tensor_info.h"

namespace ditq {

class PickleValue;
/// Shared, immutable.
using PicklePtr = std::shared_ptr<const PickleValue>;

/// A tensor of a .pt file: a view of a storage, perhaps strided. Offset and strides are in
/// elements; the reader has checked that every element lies in the storage.
struct TorchTensor {
  TensorInfo storage;  ///< name: the storage's key; shape: [elements]
  std::int64_t storage_offset = 0;
  Shape shape;
  std::vector<std::int64_t> strides;

  /// Product of the extents.
  std::uint64_t elements() const;
  /// The elements in row-major order, read from the file.
  /// Errors: file_changed, unsupported for a view that repeats elements (expanded: larger than its
  /// storage).
  std::vector<std::byte> read() const;
};

/// Plain data: None, bool, int, float, str or bytes, list or tuple or set or torch.Size, dict in
/// insertion order, or a tensor. A dtype is the string "torch.bfloat16", a device "cuda:0". Values
/// may be shared between parents, never within themselves.
class PickleValue {
 public:
  using List = std::vector<PicklePtr>;
  using Dict = std::vector<std::pair<PicklePtr, PicklePtr>>;
  std::variant<std::monostate, bool, std::int64_t, double, std::string, List, Dict, TorchTensor>
      data;

  /// The value under a string key of a dict, or nullptr.
  const PickleValue* find(const std::string& key) const;
  /// The alternative's value, or nullptr where this is something else.
  const List* list() const { return std::get_if<List>(&data); }
  const Dict* dict() const { return std::get_if<Dict>(&data); }
  const TorchTensor* tensor() const { return std::get_if<TorchTensor>(&data); }
  const std::string* string() const { return std::get_if<std::string>(&data); }
};

/// Reads the archive's directory and pickle; tensor bytes stay in the file.
/// Errors: file_not_found, file_unreadable, zip_structure, pickle_opcode, pickle_global,
/// pickle_structure, bad_offsets, bad_shape, unknown_dtype, unsupported (big-endian storages,
/// conjugate views).
/// Source: torch/serialization.py, torch/_weights_only_unpickler.py and caffe2/serialize of PyTorch
/// 2.11.
PicklePtr read_torch_checkpoint(const std::string& path);

}  // namespace ditq
