#include "base/output_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/error.h"
#include "base/system_call.h"

namespace ditq {
namespace {

/// Largest request passed to one call; Linux caps them near 2 GiB.
constexpr std::uint64_t kMaxTransfer = std::uint64_t{1} << 30;
/// Buffer of a copy that the kernel cannot make.
constexpr std::uint64_t kCopyBuffer = std::uint64_t{1} << 17;

bool is_full(int error) {
  return error == ENOSPC || error == EDQUOT || error == EFBIG;
}

std::string free_space_beside(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  struct statvfs status {};
  if (::statvfs(folder.empty() ? "." : folder.c_str(), &status) != 0) return "";
  return human_bytes(std::uint64_t{status.f_bavail} * status.f_frsize) + " free";
}

[[noreturn]] void raise(const std::string& path, int error, const std::string& expected = "") {
  throw Error(ErrorCode::storage, fmt::format("cannot write: {}", std::strerror(error)),
              {.path = path,
               .expected = is_full(error) ? expected : "",
               .found = error == ENOSPC ? free_space_beside(path) : "",
               .advice = is_full(error) ? "Free some space and run again" : ""});
}

}  // namespace

OutputFile::OutputFile(const std::string& path) : path_(path) {
  descriptor_ = uninterrupted(
      [&] { return ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666); });
  if (descriptor_ < 0) raise(path, errno);
  direct_ = std::make_unique<DirectDescriptor>(descriptor_, O_WRONLY);
}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void OutputFile::write(Bytes bytes) {
  write_at(position_, bytes);
  position_ += bytes.size();
}

void OutputFile::copy_from(const InputFile& source, std::uint64_t offset, std::uint64_t size) {
  copy_at(position_, source, offset, size);
  position_ += size;
}

void OutputFile::write_at(std::uint64_t offset, Bytes bytes) const {
  while (!bytes.empty()) {
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), kMaxTransfer));
    const ssize_t count = uninterrupted(
        [&] { return ::pwrite(descriptor_, bytes.data(), size, static_cast<off_t>(offset)); });
    // No file system may take nothing and call it success; one that does would keep us here forever.
    if (count <= 0) raise(path_, count < 0 ? errno : EIO);
    offset += static_cast<std::uint64_t>(count);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

void OutputFile::copy_at(std::uint64_t offset,
                         const InputFile& source,
                         std::uint64_t source_offset,
                         std::uint64_t size) const {
  auto from = static_cast<off64_t>(source_offset);
  auto to = static_cast<off64_t>(offset);
  while (size > 0) {
    const ssize_t count = uninterrupted([&] {
      return ::copy_file_range(source.descriptor(), &from, descriptor_, &to,
                               std::min(size, kMaxTransfer), 0);
    });
    if (count < 0 && is_full(errno)) raise(path_, errno);
    // The end of the source, a pair of file systems that cannot, or an I/O error that leaves open which of the files
    // has it: the plain copy decides.
    if (count <= 0) break;
    size -= static_cast<std::uint64_t>(count);
  }
  std::vector<std::byte> buffer(static_cast<std::size_t>(std::min(size, kCopyBuffer)));
  while (size > 0) {
    const std::span part(buffer.data(),
                         static_cast<std::size_t>(std::min<std::uint64_t>(size, buffer.size())));
    source.read(static_cast<std::uint64_t>(from), part);
    write_at(static_cast<std::uint64_t>(to), part);
    from += static_cast<off64_t>(part.size());
    to += static_cast<off64_t>(part.size());
    size -= part.size();
  }
}

void OutputFile::reserve(std::uint64_t size) const {
  if (size == 0) return;
  const int result =
      uninterrupted([&] { return ::fallocate(descriptor_, 0, 0, static_cast<off_t>(size)); });
  if (result != 0 && (is_full(errno) || errno == EIO)) raise(path_, errno, human_bytes(size));
}

void OutputFile::write_large_at(std::uint64_t offset, Bytes bytes) const {
  const std::uint64_t done = write_direct(offset, bytes);
  if (done == bytes.size()) return;
  const Bytes rest = bytes.subspan(static_cast<std::size_t>(done));
  write_at(offset + done, rest);
  if (rest.size() >= kDirectLeast) start_writeback(offset + done, rest.size());
}

// How many bytes, from the first, were written past the page cache; the caller writes the others.
std::uint64_t OutputFile::write_direct(std::uint64_t offset, Bytes bytes) const {
  const std::uint64_t size = align_down(bytes.size());
  const auto address = reinterpret_cast<std::uintptr_t>(bytes.data());
  if (size < kDirectLeast || offset % kDirectAlignment != 0 || address % kDirectAlignment != 0) {
    return 0;
  }
  std::uint64_t done = 0;
  const int descriptor = direct_->get();
  while (descriptor >= 0 && done < size) {
    const ssize_t count = uninterrupted([&] {
      return ::pwrite(descriptor, bytes.data() + done, static_cast<std::size_t>(size - done),
                      static_cast<off_t>(offset + done));
    });
    if (count < 0 && errno != EINVAL) raise(path_, errno);
    if (count <= 0) break;  // a disk that wants larger blocks
    done += static_cast<std::uint64_t>(count);
    if (done % kDirectAlignment != 0) break;
  }
  return done;
}

void OutputFile::start_writeback(std::uint64_t offset, std::uint64_t size) const {
  const int result = uninterrupted([&] {
    return ::sync_file_range(descriptor_, static_cast<off64_t>(offset), static_cast<off64_t>(size),
                             SYNC_FILE_RANGE_WRITE);
  });
  // Elsewhere the call may be unknown; close() syncs in any case.
  if (result != 0 && (is_full(errno) || errno == EIO)) raise(path_, errno);
}

void OutputFile::close() {
  direct_.reset();
  const int descriptor = std::exchange(descriptor_, -1);
  const int sync_error = uninterrupted([&] { return ::fsync(descriptor); }) == 0 ? 0 : errno;
  // Linux has closed the descriptor even where a signal cut the call short.
  const int close_error = ::close(descriptor) == 0 || errno == EINTR ? 0 : errno;
  if (sync_error != 0) raise(path_, sync_error);
  if (close_error != 0) raise(path_, close_error);
}

}  // namespace ditq
