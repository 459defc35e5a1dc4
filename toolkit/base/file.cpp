#include "base/file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

namespace ditq {
namespace {

[[noreturn]] void raise_read_error(const std::string& path, int error) {
  const bool absent = error == ENOENT || error == ENOTDIR;
  throw Error(absent ? ErrorCode::file_not_found : ErrorCode::file_unreadable,
              fmt::format("cannot read: {}", std::strerror(error)), {.path = path});
}

[[noreturn]] void raise_write_error(const std::string& path, int error) {
  throw Error(
      ErrorCode::storage, fmt::format("cannot write: {}", std::strerror(error)),
      {.path = path,
       .advice = error == ENOSPC || error == EDQUOT ? "Free some space and run again" : ""});
}

/// Largest request passed to one read or write call; Linux caps them near 2 GiB.
constexpr std::size_t kMaxTransfer = std::size_t{1} << 30;

void write_all(int descriptor, Bytes bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor, bytes.data(), std::min(bytes.size(), kMaxTransfer));
    if (count < 0) {
      if (errno == EINTR) continue;
      raise_write_error(path, errno);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

}  // namespace

struct InputFile::Mapping {
  std::once_flag once;
  void* address = nullptr;
};

InputFile::InputFile(std::string path, int descriptor, std::uint64_t size)
    : path_(std::move(path)),
      descriptor_(descriptor),
      size_(size),
      mapping_(std::make_unique<Mapping>()) {}

InputFile::~InputFile() {
  if (mapping_->address != nullptr) ::munmap(mapping_->address, size_);
  ::close(descriptor_);
}

void InputFile::release_pages() const {
  if (mapping_->address != nullptr) ::madvise(mapping_->address, size_, MADV_DONTNEED);
}

std::shared_ptr<const InputFile> InputFile::open(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) raise_read_error(path, errno);
  struct stat status {};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor);
    throw Error(ErrorCode::file_unreadable, "not a regular file",
                {.path = path, .found = S_ISDIR(status.st_mode) ? "a folder" : "a special file"});
  }
  return std::shared_ptr<const InputFile>(
      new InputFile(path, descriptor, static_cast<std::uint64_t>(status.st_size)));
}

void InputFile::read(std::uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t count = ::pread(descriptor_, out.data(), std::min(out.size(), kMaxTransfer),
                                  static_cast<off_t>(offset));
    if (count < 0) {
      if (errno == EINTR) continue;
      raise_read_error(path_, errno);
    }
    if (count == 0) {
      throw Error(ErrorCode::file_changed, "the file ended early",
                  {.path = path_,
                   .expected = fmt::format("{} more bytes at offset {}", out.size(), offset),
                   .found = "the end of the file"});
    }
    offset += static_cast<std::uint64_t>(count);
    out = out.subspan(static_cast<std::size_t>(count));
  }
}

Bytes InputFile::map() const {
  if (size_ == 0) return {};
  std::call_once(mapping_->once, [this] {
    void* address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor_, 0);
    if (address == MAP_FAILED) {
      throw Error(ErrorCode::out_of_memory,
                  fmt::format("cannot map {} bytes: {}", size_, std::strerror(errno)),
                  {.path = path_});
    }
    mapping_->address = address;
  });
  return {static_cast<const std::byte*>(mapping_->address), static_cast<std::size_t>(size_)};
}

std::string read_text(const std::string& path, std::uint64_t limit) {
  const auto file = InputFile::open(path);
  if (file->size() > limit) {
    throw Error(ErrorCode::file_unreadable, "the file is too large",
                {.path = path,
                 .expected = fmt::format("at most {} bytes", limit),
                 .found = fmt::format("{} bytes", file->size())});
  }
  std::string text(static_cast<std::size_t>(file->size()), '\0');
  file->read(0, std::as_writable_bytes(std::span(text)));
  return text;
}

void write_text(const std::string& path, std::string_view text) {
  const std::string temporary = fmt::format("{}.tmp-{}", path, ::getpid());
  try {
    OutputFile file(temporary);
    file.write(std::as_bytes(std::span(text)));
    file.close();
    if (::rename(temporary.c_str(), path.c_str()) != 0) raise_write_error(path, errno);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

std::string expand_user(const std::string& path) {
  if (path.empty() || path[0] != '~' || (path.size() > 1 && path[1] != '/')) return path;
  const char* home = std::getenv("HOME");
  return home == nullptr ? path : home + path.substr(1);
}

std::string human_bytes(std::uint64_t bytes) {
  constexpr std::array<const char*, 5> kUnits{"B", "kB", "MB", "GB", "TB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 999.95 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits.at(unit));
}

OutputFile::OutputFile(const std::string& path) : path_(path) {
  descriptor_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0) raise_write_error(path, errno);
}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void OutputFile::write(Bytes bytes) {
  write_all(descriptor_, bytes, path_);
}

void OutputFile::copy_from(const InputFile& source, std::uint64_t offset, std::uint64_t size) {
  auto position = static_cast<off64_t>(offset);
  while (size > 0) {
    const ssize_t count = ::copy_file_range(source.descriptor(), &position, descriptor_, nullptr,
                                            std::min<std::uint64_t>(size, kMaxTransfer), 0);
    if (count > 0) {
      size -= static_cast<std::uint64_t>(count);
      continue;
    }
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO))
      raise_write_error(path_, errno);
    break;  // the end of the source, or a pair of file systems that cannot: the plain copy decides
  }
  std::vector<std::byte> buffer(static_cast<std::size_t>(std::min<std::uint64_t>(size, 8U << 20)));
  while (size > 0) {
    const std::span part(buffer.data(),
                         static_cast<std::size_t>(std::min<std::uint64_t>(size, buffer.size())));
    source.read(static_cast<std::uint64_t>(position), part);
    write(part);
    position += static_cast<off64_t>(part.size());
    size -= part.size();
  }
}

void OutputFile::close() {
  const int descriptor = std::exchange(descriptor_, -1);
  const bool synced = ::fsync(descriptor) == 0;
  const int sync_error = errno;
  if (::close(descriptor) != 0) raise_write_error(path_, errno);
  if (!synced) raise_write_error(path_, sync_error);
}

}  // namespace ditq
