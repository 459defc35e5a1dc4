#include "kernels/cuda/upload.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include <sys/mman.h>
#include <unistd.h>

#include "kernels/cuda/check.h"

namespace ditq {
namespace {

constexpr std::size_t kPart = std::size_t{8} << 20;
constexpr std::size_t kSmall = std::size_t{1} << 20;
constexpr std::size_t kSmallBuffers = 4;
constexpr unsigned kMostThreads = 8;

/// Maps the file's pages in one call instead of one fault for every 64 KiB. A kernel before 5.14, or memory that is no
/// mapping, loses nothing but time.
void populate(const void* memory, std::size_t bytes) {
#ifdef MADV_POPULATE_READ
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(memory) / page * page;
  const auto end = reinterpret_cast<std::uintptr_t>(memory) + bytes;
  static_cast<void>(::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_POPULATE_READ));
#else
  static_cast<void>(memory);
  static_cast<void>(bytes);
#endif
}

}  // namespace

Uploader::Uploader(int device, cudaStream_t stream) : device_(device), stream_(stream) {}

Uploader::Buffer Uploader::make_buffer() {
  Buffer buffer;
  cuda_check(cudaHostAlloc(&buffer.memory, kPart, cudaHostAllocDefault), "cudaHostAlloc");
  cuda_check(cudaEventCreateWithFlags(&buffer.free, cudaEventDisableTiming), "cudaEventCreate");
  return buffer;
}

void Uploader::stage(const Part& part, Buffer& buffer) {
  cudaError_t result = cudaEventSynchronize(buffer.free);
  if (result == cudaSuccess) {
    populate(part.source, part.bytes);
    std::memcpy(buffer.memory, part.source, part.bytes);
    result =
        cudaMemcpyAsync(part.target, buffer.memory, part.bytes, cudaMemcpyHostToDevice, stream_);
  }
  if (result == cudaSuccess) result = cudaEventRecord(buffer.free, stream_);
  if (result == cudaSuccess) return;
  const std::lock_guard lock(mutex_);
  failure_ = result;
}

void Uploader::work() {
  cudaSetDevice(device_);
  Buffer buffers[2] = {make_buffer(), make_buffer()};
  for (std::size_t turn = 0;; ++turn) {
    Part part{};
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return !parts_.empty(); });
      part = parts_.front();
      parts_.pop_front();
    }
    stage(part, buffers[turn % 2]);
    const std::lock_guard lock(mutex_);
    if (--unfinished_ == 0) done_.notify_all();
  }
}

void Uploader::start() {
  if (!threads_.empty()) return;
  const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
  for (unsigned i = 0; i < std::min(cores, kMostThreads); ++i) {
    threads_.emplace_back([this] { work(); });
    threads_.back().detach();
  }
}

void Uploader::copy(void* target, const void* source, std::size_t bytes) {
  auto* to = static_cast<std::byte*>(target);
  const auto* from = static_cast<const std::byte*>(source);
  if (bytes <= kSmall) {
    if (small_.empty()) {
      for (std::size_t i = 0; i < kSmallBuffers; ++i) small_.push_back(make_buffer());
    }
    stage({to, from, bytes}, small_[next_small_++ % kSmallBuffers]);
  } else {
    start();
    std::unique_lock lock(mutex_);
    for (std::size_t at = 0; at < bytes; at += kPart) {
      parts_.push_back({to + at, from + at, std::min(kPart, bytes - at)});
      ++unfinished_;
    }
    wake_.notify_all();
    done_.wait(lock, [&] { return unfinished_ == 0; });
  }
  const std::lock_guard lock(mutex_);
  cuda_check(std::exchange(failure_, cudaSuccess), "upload");
}

}  // namespace ditq
