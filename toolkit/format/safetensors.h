#pragma once
// The safetensors container (format: docs/formats/safetensors.md). The reader validates everything
// before it hands out a byte range; the writer lays tensors out as the upstream writer does, so
// that data sections are equal byte for byte.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/output_file.h"
#include "format/tensor_info.h"

namespace ditq {

/// Limits of the reader. The header's is upstream's; the others are far above what checkpoints
/// have.
inline constexpr std::uint64_t kMaxSafetensorsHeader = 100'000'000;  ///< bytes of header text
inline constexpr std::size_t kMaxSafetensorsTensors = 1'000'000;     ///< header entries
inline constexpr std::size_t kMaxTensorName = 4096;                  ///< bytes of a name
inline constexpr std::size_t kMaxRank = 64;  ///< dimensions, as many as torch has

/// One validated file. Tensors are in header order. Opening reads the header only, never tensor
/// data.
/// Source: safetensors safetensors/src/tensor.rs @ 24b0b28.
struct SafetensorsFile {
  std::string path;
  std::map<std::string, std::string>
      metadata;  ///< __metadata__, without order: upstream has none either
  std::vector<TensorInfo> tensors;

  /// Errors: header_too_small, header_too_large, header_syntax, duplicate_tensor, unknown_dtype,
  /// bad_shape, bad_offsets (a range that does not fit its shape, an overlap, a hole, or a file
  /// that is not fully covered).
  static SafetensorsFile open(const std::string& path);

  /// The tensor of that name, or nullptr. Looks at one name after the other: for many look-ups use
  /// Checkpoint.
  const TensorInfo* find(const std::string& name) const;
};

/// One tensor to be written. The bytes are asked for when their turn comes.
struct TensorToWrite {
  std::string name;
  Dtype dtype;
  Shape shape;
  std::uint64_t size = 0;  ///< bytes, as dtype and shape give them; the writer fills it in
};

/// Where everything of one file stands, decided before anything is written. As upstream: wider types
/// first (Dtype in descending order), then by name; header padded with spaces to 8 bytes.
struct SafetensorsLayout {
  std::string head;                    ///< length and header text, the file's first bytes
  std::vector<TensorToWrite> tensors;  ///< in file order, behind the head without gaps
  std::uint64_t data_size = 0;         ///< bytes of all tensors
};

/// Fixes the layout; without metadata there is no __metadata__ entry. `path` names the file in errors.
/// Errors: duplicate_tensor, bad_shape, header_syntax (a name or value that is not UTF-8),
/// header_too_large.
SafetensorsLayout lay_out_safetensors(const std::string& path,
                                      std::vector<TensorToWrite> tensors,
                                      const std::map<std::string, std::string>& metadata);

/// Writes one file from the first byte to the last. The file's mode follows the umask. After an error
/// the file is incomplete: its owner removes it.
class SafetensorsWriter {
 public:
  /// Fixes the layout and writes the header. Errors: storage, as lay_out_safetensors.
  SafetensorsWriter(const std::string& path,
                    std::vector<TensorToWrite> tensors,
                    const std::map<std::string, std::string>& metadata);
  ~SafetensorsWriter();
  SafetensorsWriter(const SafetensorsWriter&) = delete;
  SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;

  /// In the order in which the data must be written.
  const std::vector<TensorToWrite>& order() const { return layout_.tensors; }
  /// The next tensor's bytes, whole or in pieces; sizes must add up to what was announced. Errors:
  /// storage.
  void write(Bytes bytes);
  /// Checks that all bytes came, then fsync. Errors: storage.
  void close();

 private:
  SafetensorsLayout layout_;
  std::unique_ptr<OutputFile> file_;
  std::uint64_t written_ = 0;  ///< bytes of tensors so far
};

/// A tensor in memory, for small files that are written whole (trajectories, tests).
struct TensorData {
  std::string name;
  Dtype dtype;
  Shape shape;
  Bytes bytes;
};

/// Writes a whole file. Errors: as SafetensorsWriter.
void write_safetensors(const std::string& path,
                       const std::vector<TensorData>& tensors,
                       const std::map<std::string, std::string>& metadata);

}  // namespace ditq
