#pragma once
// Files being written: sequentially, or at given places by several threads at once. What is closed is durable.

#include <cstdint>
#include <memory>
#include <string>

#include "base/file.h"

namespace ditq {

/// A new file. Calls with an offset may run on several threads at once, on ranges that do not overlap. Errors of all
/// members, where nothing else is said: storage.
class OutputFile {
 public:
  /// Creates or truncates.
  explicit OutputFile(const std::string& path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  /// Appends.
  void write(Bytes bytes);
  /// Appends a range of another file. Errors: as copy_at.
  void copy_from(const InputFile& source, std::uint64_t offset, std::uint64_t size);

  /// Writes all bytes at `offset`.
  void write_at(std::uint64_t offset, Bytes bytes) const;
  /// The same past the page cache, as far as offset, address and size are aligned and the file system can; otherwise
  /// the kernel is told to write them to the disk soon, so that close() has little left to do.
  void write_large_at(std::uint64_t offset, Bytes bytes) const;
  /// Copies a range of another file to `offset`, inside the kernel where it can.
  /// Errors: storage, file_changed (the source ends early), file_unreadable.
  void copy_at(std::uint64_t offset,
               const InputFile& source,
               std::uint64_t source_offset,
               std::uint64_t size) const;
  /// Takes `size` bytes of the disk now, where the file system can, so that a full one is known before the work.
  void reserve(std::uint64_t size) const;
  /// fsync and close; without it the destructor closes silently.
  void close();

  const std::string& path() const { return path_; }

 private:
  std::uint64_t write_direct(std::uint64_t offset, Bytes bytes) const;
  void start_writeback(std::uint64_t offset, std::uint64_t size) const;

  std::string path_;
  int descriptor_ = -1;
  std::unique_ptr<DirectDescriptor> direct_;
  std::uint64_t position_ = 0;  // of write() and copy_from()
};

}  // namespace ditq
