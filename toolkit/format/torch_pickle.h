#pragma once
// torch.save files: a zip archive with one pickle and one stored entry per storage. The pickle is read by an
// interpreter of the few opcodes that torch writes for dicts of tensors; it builds plain data and byte ranges and never
// executes anything. Any other opcode or global is an error that names it.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "format/tensor_info.h"

namespace ditq {

class PickleValue;
using PicklePtr = std::shared_ptr<const PickleValue>;

/// A tensor of a .pt file: a view of a storage, perhaps strided. Offset and strides are in elements.
struct TorchTensor {
  TensorInfo storage;  ///< name: the storage's key; shape: [elements]
  std::int64_t storage_offset = 0;
  Shape shape;
  std::vector<std::int64_t> strides;
};

/// Plain data: None, bool, int, float, str, bytes, list or tuple or set, dict in insertion order, or a tensor.
class PickleValue {
 public:
  using List = std::vector<PicklePtr>;
  using Dict = std::vector<std::pair<PicklePtr, PicklePtr>>;
  std::variant<std::monostate, bool, std::int64_t, double, std::string, List, Dict, TorchTensor>
      data;

  /// The value under a string key of a dict, or nullptr.
  const PickleValue* find(const std::string& key) const;
  const Dict* dict() const { return std::get_if<Dict>(&data); }
  const TorchTensor* tensor() const { return std::get_if<TorchTensor>(&data); }
  const std::string* string() const { return std::get_if<std::string>(&data); }
};

/// Reads the archive's directory and pickle; tensor bytes stay in the file.
/// Errors: zip_structure, pickle_opcode, pickle_global, pickle_structure, bad_offsets, unknown_dtype.
PicklePtr read_torch_checkpoint(const std::string& path);

}  // namespace ditq
