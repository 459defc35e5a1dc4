#pragma once
// A tensor on disk: name, dtype, shape and the byte range that holds it. A typed byte range until
// somebody needs it.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/file.h"

namespace ditq {

/// Extents, slowest dimension first; empty for a scalar.
using Shape = std::vector<std::int64_t>;

/// "[3072, 64]", or "[]" for a scalar.
std::string to_string(const Shape& shape);

/// Bytes that dtype and shape take; nothing when the product does not fit 64 bits, an extent is
/// negative, or elements of less than a byte do not fill whole bytes.
std::optional<std::uint64_t> byte_size(Dtype dtype, const Shape& shape);

/// Where a tensor lies. Readers hand it out only after its range was checked against shape and
/// file.
struct TensorInfo {
  std::string name;
  Dtype dtype = Dtype::u8;
  Shape shape;
  std::shared_ptr<const InputFile> file;
  std::uint64_t offset = 0;  ///< bytes from the start of the file
  std::uint64_t size = 0;    ///< bytes

  /// Product of the extents.
  std::uint64_t elements() const;
  /// The bytes in the file's mapping; valid as long as `file` is held.
  Bytes bytes() const { return file->map().subspan(offset, size); }
};

}  // namespace ditq
