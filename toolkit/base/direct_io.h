#pragma once
// Input and output past the page cache (O_DIRECT): no copy, no pages taken from others, the disk's own speed. Disks take
// it in aligned blocks only; whatever is not aligned goes through the page cache as ever.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <span>

namespace ditq {

/// What disks and file systems ask for at most: addresses, file offsets and sizes are multiples of it.
inline constexpr std::uint64_t kDirectAlignment = 4096;
/// Smallest transfer for which going past the page cache pays.
inline constexpr std::uint64_t kDirectLeast = std::uint64_t{1} << 18;

/// The next multiple of kDirectAlignment at or below, and at or above.
constexpr std::uint64_t align_down(std::uint64_t value) {
  return value / kDirectAlignment * kDirectAlignment;
}
constexpr std::uint64_t align_up(std::uint64_t value) {
  return align_down(value + kDirectAlignment - 1);
}

/// Bytes at an aligned address. Not touched before somebody writes to them: unused ones are not resident.
class AlignedBuffer {
 public:
  explicit AlignedBuffer(std::uint64_t size)
      : size_(static_cast<std::size_t>(align_up(size))),
        memory_(static_cast<std::byte*>(std::aligned_alloc(kDirectAlignment, size_)), &std::free) {
    if (memory_ == nullptr) throw std::bad_alloc();
  }

  std::span<std::byte> bytes() const { return {memory_.get(), size_}; }

 private:
  std::size_t size_;
  std::unique_ptr<std::byte, decltype(&std::free)> memory_;
};

/// An open file's second descriptor, past the page cache. Calls may come from several threads.
class DirectDescriptor {
 public:
  /// For the file behind `plain`, with `mode` O_RDONLY or O_WRONLY. Nothing is opened yet.
  DirectDescriptor(int plain, int mode) : plain_(plain), mode_(mode) {}
  ~DirectDescriptor();
  DirectDescriptor(const DirectDescriptor&) = delete;
  DirectDescriptor& operator=(const DirectDescriptor&) = delete;

  /// Opened at the first call; -1 where the file system cannot.
  int get();

 private:
  int plain_;
  int mode_;
  int descriptor_ = -1;
  std::once_flag once_;
};

/// Whether more than half of a range of a file lies in the page cache; false where the kernel does not tell.
/// `offset` is aligned.
bool is_cached(int descriptor, std::uint64_t offset, std::uint64_t size);

}  // namespace ditq
