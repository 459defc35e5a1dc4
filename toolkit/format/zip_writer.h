#pragma once
// Zip archives of stored entries as torch.save writes them, from the first byte to the last, of any size.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/output_file.h"

namespace ditq {

/// Entry data begins at multiples of this, by padding in the local header's extra field, so that readers can map it.
/// Source: PyTorch caffe2/serialize/inline_container.h @ 2.11.0 (kFieldAlignment).
inline constexpr std::uint64_t kZipAlignment = 64;

/// One archive being written. Entries are announced with their size; their checksum is filled in behind them.
/// Zip64 fields are written where sizes, offsets or the number of entries need them.
class ZipWriter {
 public:
  /// Creates the file. Errors of all members: storage.
  explicit ZipWriter(const std::string& path);
  ~ZipWriter();
  ZipWriter(const ZipWriter&) = delete;
  ZipWriter& operator=(const ZipWriter&) = delete;

  /// Begins an entry of `size` bytes; the one before must be complete.
  void begin(const std::string& name, std::uint64_t size);
  /// The entry's bytes, whole or in pieces.
  void write(Bytes bytes);
  /// A whole small entry.
  void add(const std::string& name, std::string_view text);
  /// Writes the directory, then fsync and close.
  void close();

 private:
  struct Entry {
    std::string name;
    std::uint64_t size = 0;
    std::uint64_t offset = 0;  ///< of the local header
    std::uint32_t checksum = 0;
  };

  void finish_entry();
  void put(std::string_view bytes);

  std::unique_ptr<OutputFile> file_;
  std::uint64_t position_ = 0;
  std::uint64_t left_ = 0;  ///< bytes that the entry lacks
  std::vector<Entry> entries_;
};

}  // namespace ditq
