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
#include "base/output_file.h"
#include "base/system_call.h"

namespace ditq {
namespace {

[[noreturn]] void raise_read_error(const std::string& path, int error) {
  const bool absent = error == ENOENT || error == ENOTDIR;
  const bool storage = error == EIO || error == EACCES || error == EPERM;
  throw Error(absent    ? ErrorCode::file_not_found
              : storage ? ErrorCode::storage
                        : ErrorCode::file_unreadable,
              fmt::format("cannot read: {}", std::strerror(error)), {.path = path});
}

/// Largest request passed to one read or write call; Linux caps them near 2 GiB.
constexpr std::size_t kMaxTransfer = std::size_t{1} << 30;

FileStamp stamp_of(const struct stat& status) {
  return {.size = static_cast<std::uint64_t>(status.st_size),
          .modified = std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec};
}

}  // namespace

struct InputFile::Mapping {
  std::once_flag once;
  void* address = nullptr;
};

InputFile::InputFile(std::string path, int descriptor, FileStamp stamp)
    : path_(std::move(path)),
      descriptor_(descriptor),
      stamp_(stamp),
      mapping_(std::make_unique<Mapping>()),
      direct_(std::make_unique<DirectDescriptor>(descriptor, O_RDONLY)) {}

InputFile::~InputFile() {
  if (mapping_->address != nullptr) ::munmap(mapping_->address, size());
  ::close(descriptor_);
}

void InputFile::release_pages() const {
  if (mapping_->address != nullptr) ::madvise(mapping_->address, size(), MADV_DONTNEED);
}

std::shared_ptr<const InputFile> InputFile::open(const std::string& path) {
  const int descriptor =
      uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); });
  if (descriptor < 0) raise_read_error(path, errno);
  struct stat status {};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor);
    throw Error(ErrorCode::file_unreadable, "not a regular file",
                {.path = path, .found = S_ISDIR(status.st_mode) ? "a folder" : "a special file"});
  }
  return std::shared_ptr<const InputFile>(new InputFile(path, descriptor, stamp_of(status)));
}

void InputFile::read(std::uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t count = uninterrupted([&] {
      return ::pread(descriptor_, out.data(), std::min(out.size(), kMaxTransfer),
                     static_cast<off_t>(offset));
    });
    if (count < 0) raise_read_error(path_, errno);
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

Bytes InputFile::read_large(std::uint64_t offset,
                            std::uint64_t size,
                            const AlignedBuffer& buffer) const {
  const std::uint64_t begin = align_down(offset);
  const std::uint64_t lead = offset - begin;
  const std::uint64_t span = align_up(lead + size);
  DITQ_ASSERT(span <= buffer.bytes().size());
  const auto all = buffer.bytes().first(static_cast<std::size_t>(span));
  const auto out = all.subspan(static_cast<std::size_t>(lead), static_cast<std::size_t>(size));
  std::uint64_t have = 0;
  if (size >= kDirectLeast && !is_cached(descriptor_, begin, span)) have = read_direct(begin, all);
  const std::uint64_t done = have > lead ? std::min(have - lead, size) : 0;
  if (size - done >= kDirectLeast) {  // a hint that the kernel read all of it at once
    ::posix_fadvise(descriptor_, static_cast<off_t>(offset + done), static_cast<off_t>(size - done),
                    POSIX_FADV_WILLNEED);
  }
  read(offset + done, out.subspan(static_cast<std::size_t>(done)));
  return out;
}

// How many bytes of `out`, from its beginning, could be read past the page cache; the caller reads the others.
std::uint64_t InputFile::read_direct(std::uint64_t begin, std::span<std::byte> out) const {
  std::uint64_t have = 0;
  const int descriptor = direct_->get();
  while (descriptor >= 0 && have < out.size()) {
    const auto rest = out.subspan(static_cast<std::size_t>(have));
    const ssize_t count = uninterrupted([&] {
      return ::pread(descriptor, rest.data(), rest.size(), static_cast<off_t>(begin + have));
    });
    if (count < 0 && errno != EINVAL) raise_read_error(path_, errno);
    if (count <= 0) break;  // a disk that wants larger blocks, or the end of the file
    have += static_cast<std::uint64_t>(count);
    if (have % kDirectAlignment != 0) break;
  }
  return have;
}

void InputFile::check_unchanged() const {
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) raise_read_error(path_, errno);
  const FileStamp now = stamp_of(status);
  if (now == stamp_) return;
  throw Error(ErrorCode::file_changed, "the file changed while it was read",
              {.path = path_,
               .expected = fmt::format("{} bytes, as it was opened", size()),
               .found = now.size == size() ? "the same size, written to since"
                                           : fmt::format("{} bytes", now.size),
               .advice = "Let whatever writes it finish, then run again"});
}

Bytes InputFile::map() const {
  if (size() == 0) return {};
  std::call_once(mapping_->once, [this] {
    void* address = ::mmap(nullptr, size(), PROT_READ, MAP_PRIVATE, descriptor_, 0);
    if (address == MAP_FAILED) {
      throw Error(ErrorCode::out_of_memory,
                  fmt::format("cannot map {} bytes: {}", size(), std::strerror(errno)),
                  {.path = path_});
    }
    mapping_->address = address;
  });
  return {static_cast<const std::byte*>(mapping_->address), static_cast<std::size_t>(size())};
}

std::optional<FileStamp> stamp_of(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
  return stamp_of(status);
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
    if (::rename(temporary.c_str(), path.c_str()) != 0) {
      throw Error(ErrorCode::storage, fmt::format("cannot write: {}", std::strerror(errno)),
                  {.path = path});
    }
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

}  // namespace ditq
