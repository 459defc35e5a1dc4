#pragma once
// Files: read-only mappings, positioned reads and whole-file helpers. Errors name the file.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/direct_io.h"

namespace ditq {

using Bytes = std::span<const std::byte>;

/// What tells one state of a file from another without reading it.
struct FileStamp {
  std::uint64_t size = 0;     ///< bytes
  std::int64_t modified = 0;  ///< nanoseconds since 1970
  bool operator==(const FileStamp&) const = default;
};

/// The stamp of a regular file, links not followed; nothing where there is none.
std::optional<FileStamp> stamp_of(const std::string& path);

/// A file opened for reading, mapped when somebody asks for its bytes. Shared: tensors keep it alive.
class InputFile {
 public:
  /// Errors: file_not_found, file_unreadable, storage (no permission, I/O error).
  static std::shared_ptr<const InputFile> open(const std::string& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& path() const { return path_; }
  std::uint64_t size() const { return stamp_.size; }
  int descriptor() const { return descriptor_; }
  /// What the file was when it was opened.
  const FileStamp& stamp() const { return stamp_; }

  /// Reads exactly out.size() bytes at offset. Errors: file_changed when the file ends early, file_unreadable, storage.
  void read(std::uint64_t offset, std::span<std::byte> out) const;

  /// Reads a range of at most buffer size - 2 * kDirectAlignment bytes and returns where it lies in `buffer`: out of the
  /// page cache where it is there, past it otherwise, so that a large file neither costs copies nor drives out what
  /// others keep there. Errors: as read.
  Bytes read_large(std::uint64_t offset, std::uint64_t size, const AlignedBuffer& buffer) const;

  /// Raises when the file is no longer what it was when it was opened. Errors: file_changed, file_unreadable.
  void check_unchanged() const;

  /// The whole file as a private read-only mapping, made at the first call; empty for an empty file.
  /// Errors: out_of_memory, file_unreadable.
  Bytes map() const;

  /// Gives the mapping's resident pages back to the system. The mapping stays valid: pages are read again when needed.
  void release_pages() const;

 private:
  InputFile(std::string path, int descriptor, FileStamp stamp);

  std::uint64_t read_direct(std::uint64_t begin, std::span<std::byte> out) const;

  struct Mapping;
  std::string path_;
  int descriptor_;
  FileStamp stamp_;
  std::unique_ptr<Mapping> mapping_;
  std::unique_ptr<DirectDescriptor> direct_;
};

/// The whole content of a file. Errors: file_not_found, file_unreadable (also when it is larger than `limit` bytes).
std::string read_text(const std::string& path, std::uint64_t limit = std::uint64_t{1} << 30);

/// Writes a file at once through a temporary name beside it, so that readers see the old content or the new one.
/// Errors: storage.
void write_text(const std::string& path, std::string_view text);

/// "~" and "~/x" expanded from HOME; anything else unchanged.
std::string expand_user(const std::string& path);

/// Bytes for people: "24.1 GB" (powers of 1000).
std::string human_bytes(std::uint64_t bytes);

}  // namespace ditq
