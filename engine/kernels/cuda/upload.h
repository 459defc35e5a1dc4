#pragma once
// Host memory to device memory through pinned buffers, by several threads: one thread alone reads the page cache at a
// third of what the bus takes.

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include <cuda_runtime_api.h>

namespace ditq {

class Uploader {
 public:
  /// For one device and stream. Its threads start with the first large copy and live as long as the process.
  Uploader(int device, cudaStream_t stream);
  Uploader(const Uploader&) = delete;
  Uploader& operator=(const Uploader&) = delete;

  /// Returns when every byte of `source` has been read and every copy is on the stream. Errors: device, out_of_memory.
  void copy(void* target, const void* source, std::size_t bytes);

 private:
  struct Part {
    std::byte* target;
    const std::byte* source;
    std::size_t bytes;
  };
  struct Buffer {
    void* memory = nullptr;
    cudaEvent_t free = nullptr;
  };

  void start();
  void work();
  void stage(const Part& part, Buffer& buffer);
  static Buffer make_buffer();

  int device_;
  cudaStream_t stream_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  std::deque<Part> parts_;
  std::size_t unfinished_ = 0;
  cudaError_t failure_ = cudaSuccess;
  std::vector<std::thread> threads_;
  std::vector<Buffer>
      small_;  ///< of the calling thread, for copies that are not worth waking anybody
  std::size_t next_small_ = 0;
};

}  // namespace ditq
