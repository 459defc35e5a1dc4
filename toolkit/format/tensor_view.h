#pragma once
// Tensors by name as a reader wants them: a checkpoint's own, or a view of one in which names, orders and layouts are
// those of one dialect.

#include <map>
#include <memory>
#include <string>

#include "format/checkpoint.h"

namespace ditq {

/// A tensor of a view.
struct ViewedTensor {
  Dtype dtype = Dtype::u8;
  Shape shape;
  const TensorInfo* origin =
      nullptr;  ///< the stored tensor behind it (the first of several), for errors
};

/// Bytes and whatever keeps them alive: a file's mapping, or memory of their own.
struct TensorBytes {
  Bytes bytes;
  std::shared_ptr<const void> owner;
};

/// A table of tensors. What it hands out stays valid as long as the view.
class TensorView {
 public:
  virtual ~TensorView() = default;

  /// The file or folder behind it, for errors.
  virtual const std::string& path() const = 0;
  /// All tensors, sorted by name.
  virtual const std::map<std::string, ViewedTensor>& tensors() const = 0;
  /// The bytes of a tensor of the table, as its dtype and shape give them: the file's mapping where nothing has to be
  /// rearranged, otherwise a copy. Errors: as InputFile::map.
  virtual TensorBytes read(const std::string& name) const = 0;
  /// Gives mapped pages of the files back to the system; bytes that were handed out stay valid.
  virtual void release_pages() const = 0;

  /// The tensor of that name, or nullptr.
  const ViewedTensor* find(const std::string& name) const;
  /// Errors: missing_tensor, naming the checkpoint.
  const ViewedTensor& at(const std::string& name) const;
};

/// A checkpoint's tensors as they are.
std::shared_ptr<const TensorView> view_of(std::shared_ptr<const Checkpoint> checkpoint);

}  // namespace ditq
