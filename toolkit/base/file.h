#pragma once
// Files: read-only mappings, positioned reads and whole-file helpers. Errors name the file.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace ditq {

using Bytes = std::span<const std::byte>;

/// A file opened for reading, mapped when somebody asks for its bytes. Shared: tensors keep it alive.
class InputFile {
 public:
  /// Errors: file_not_found, file_unreadable.
  static std::shared_ptr<const InputFile> open(const std::string& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& path() const { return path_; }
  std::uint64_t size() const { return size_; }
  int descriptor() const { return descriptor_; }

  /// Reads exactly out.size() bytes at offset. Errors: file_changed when the file ends early, file_unreadable.
  void read(std::uint64_t offset, std::span<std::byte> out) const;

  /// The whole file as a private read-only mapping, made at the first call; empty for an empty file.
  /// Errors: out_of_memory, file_unreadable.
  Bytes map() const;

  /// Gives the mapping's resident pages back to the system. The mapping stays valid: pages are read again when needed.
  void release_pages() const;

 private:
  InputFile(std::string path, int descriptor, std::uint64_t size);

  struct Mapping;
  std::string path_;
  int descriptor_;
  std::uint64_t size_;
  std::unique_ptr<Mapping> mapping_;
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

/// A file's bytes, written sequentially; closed with fsync.
class OutputFile {
 public:
  /// Creates or truncates. Errors: storage.
  explicit OutputFile(const std::string& path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(Bytes bytes);
  /// Copies a range of another file, inside the kernel where it can.
  void copy_from(const InputFile& source, std::uint64_t offset, std::uint64_t size);
  /// fsync and close; without it the destructor closes silently. Errors: storage.
  void close();

  const std::string& path() const { return path_; }

 private:
  std::string path_;
  int descriptor_ = -1;
};

}  // namespace ditq
