#include "convert/shard_pipeline.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

#include <fmt/format.h>
#include <unistd.h>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/output_file.h"
#include "base/progress.h"
#include "base/sha256.h"

namespace ditq {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
constexpr std::uint64_t kDefaultBuffers = 192 * kMiB;
constexpr std::uint64_t kLargestBlock = 4 * kMiB;
constexpr std::uint64_t kSmallestBlock = kDirectLeast;
/// Blocks' worth of buffers for each thread: the block, twice as much for what it reads, and a finished block that waits
/// for the hash.
constexpr std::uint64_t kBlocksPerJob = 4;
/// What threads, their stacks and the hash take beside them.
constexpr std::uint64_t kOverhead = 8 * kMiB;

/// Resident bytes of this process; 0 where /proc is not there.
std::uint64_t resident_memory() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t total = 0;
  std::uint64_t resident = 0;
  file >> total >> resident;
  return file ? resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) : 0;
}

/// Threads wait for the disk most of the time: more than cores keep it busy (docs/performance.md has figures).
std::uint64_t default_jobs() {
  return std::clamp<std::uint64_t>(2 * std::uint64_t{std::thread::hardware_concurrency()}, 8, 16);
}

/// Threads and bytes of a block that fit the memory.
struct Fit {
  std::uint64_t jobs;
  std::uint64_t block;
};

Fit fit(const PipelineLimits& limits) {
  constexpr std::uint64_t kLeast = kBlocksPerJob * kSmallestBlock;
  std::uint64_t memory = kDefaultBuffers;
  if (limits.max_memory != 0) {
    const std::uint64_t taken = resident_memory() + kOverhead;
    if (limits.max_memory < taken + kLeast) {
      throw Error(ErrorCode::usage, "--max-memory is too small for this conversion",
                  {.expected = fmt::format("at least {} bytes", taken + kLeast),
                   .found = fmt::format("{}", limits.max_memory)});
    }
    memory = limits.max_memory - taken;
  }
  const std::uint64_t wanted = limits.jobs == 0 ? default_jobs() : limits.jobs;
  const std::uint64_t jobs = std::clamp<std::uint64_t>(memory / kLeast, 1, wanted);
  const std::uint64_t block = memory / jobs / kBlocksPerJob / kSmallestBlock * kSmallestBlock;
  return {.jobs = jobs, .block = std::min(block, kLargestBlock)};
}

/// A block of an output file and its place in the order of all.
struct Task {
  std::size_t number = 0;
  std::size_t shard = 0;
  std::uint64_t offset = 0;  ///< bytes from the start of the file
  std::uint64_t size = 0;    ///< bytes
  std::size_t last = 0;      ///< number of its shard's last task
};

/// The blocks of all shards in order.
std::vector<Task> cut(const std::vector<LaidOutShard>& shards, std::uint64_t block) {
  std::vector<Task> tasks;
  for (std::size_t shard = 0; shard < shards.size(); ++shard) {
    const std::uint64_t size = shards[shard].size();
    const auto last = tasks.size() + static_cast<std::size_t>((size - 1) / block);
    for (std::uint64_t offset = 0; offset < size; offset += block) {
      tasks.push_back({.number = tasks.size(),
                       .shard = shard,
                       .offset = offset,
                       .size = std::min(block, size - offset),
                       .last = last});
    }
  }
  return tasks;
}

class Pipeline {
 public:
  Pipeline(const std::vector<LaidOutShard>& shards,
           const std::string& folder,
           const PipelineLimits& limits,
           const ShardFinished& finished)
      : shards_(shards),
        folder_(folder),
        finished_(finished),
        fit_(fit(limits)),
        tasks_(cut(shards, fit_.block)),
        outputs_(shards.size()),
        made_(tasks_.size(), nullptr),
        limit_(tasks_.size()) {
    fit_.jobs = std::min<std::uint64_t>(fit_.jobs, tasks_.size());
    for (std::uint64_t i = 0; i < 2 * fit_.jobs; ++i)
      free_.push_back(&buffers_.emplace_back(fit_.block));
    for (const Task& task : tasks_) total_ += task.size;
  }

  ~Pipeline() {
    stop();
    for (std::thread& thread : threads_) thread.join();
  }
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  void run() {
    ProgressBar progress("converting", total_, "B");
    add_thread(&Pipeline::hash);
    for (std::uint64_t i = 0; i < fit_.jobs; ++i) add_thread(&Pipeline::work);
    std::uint64_t shown = 0;
    std::unique_lock lock(mutex_);
    while (running_ > 0) {
      changed_.wait_for(lock, std::chrono::milliseconds(50));
      const std::uint64_t done = hashed_;
      lock.unlock();
      check_interrupt();
      progress.advance(done - shown);
      shown = done;
      lock.lock();
    }
    if (error_) std::rethrow_exception(error_);
    lock.unlock();
    progress.finish();
  }

 private:
  /// An output file, opened by whoever comes first.
  struct Output {
    std::once_flag once;
    std::unique_ptr<OutputFile> file;
  };

  void add_thread(void (Pipeline::*body)()) {
    {
      const std::lock_guard lock(mutex_);
      ++running_;
    }
    try {
      threads_.emplace_back([this, body] {
        (this->*body)();
        const std::lock_guard lock(mutex_);
        --running_;
        changed_.notify_all();
      });
    } catch (const std::system_error& error) {
      throw Error(ErrorCode::out_of_memory,
                  fmt::format("cannot start a thread: {}", error.code().message()),
                  {.advice = "Use fewer --jobs"});
    }
  }

  void stop() {
    const std::lock_guard lock(mutex_);
    limit_ = 0;
    changed_.notify_all();
  }

  /// Keeps the current exception, when it is the first task's that failed. Tasks are taken in order and finished once
  /// taken: no earlier one is left out, and shards before this one are still finished.
  void fail(std::size_t number) {
    const std::lock_guard lock(mutex_);
    if (!error_ || number < failed_) {
      error_ = std::current_exception();
      failed_ = number;
    }
    limit_ = std::min(limit_, number);
    changed_.notify_all();
  }

  /// Body of a thread that makes blocks.
  void work() {
    std::size_t number = 0;
    try {
      BlockMaker maker(2 * fit_.block);
      AlignedBuffer* buffer = nullptr;
      while (const Task* task = take(buffer)) {
        number = task->number;
        const auto bytes = buffer->bytes().first(static_cast<std::size_t>(task->size));
        maker.make(shards_[task->shard], task->offset, bytes);
        output(task->shard).write_large_at(task->offset, bytes);
        hand_over(*task, buffer);
      }
    } catch (...) {
      fail(number);
    }
  }

  /// The next task and a buffer for it, when there is one; nullptr at the end.
  const Task* take(AlignedBuffer*& buffer) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return next_ >= limit_ || !free_.empty(); });
    if (next_ >= limit_) return nullptr;
    buffer = free_.back();
    free_.pop_back();
    return &tasks_[next_++];
  }

  OutputFile& output(std::size_t shard) {
    Output& output = outputs_[shard];
    std::call_once(output.once, [&] {
      output.file = std::make_unique<OutputFile>(
          (std::filesystem::path(folder_) / shards_[shard].name).string());
      output.file->reserve(shards_[shard].size());
    });
    return *output.file;
  }

  void hand_over(const Task& task, AlignedBuffer* buffer) {
    const std::lock_guard lock(mutex_);
    made_[task.number] = buffer;
    changed_.notify_all();
  }

  /// Body of the thread that hashes blocks in order and finishes shards.
  void hash() {
    std::size_t number = 0;
    try {
      Sha256 digest;
      for (const Task& task : tasks_) {
        number = task.number;
        AlignedBuffer* buffer = wait_for(task);
        if (buffer == nullptr) return;
        digest.update(buffer->bytes().first(static_cast<std::size_t>(task.size)));
        give_back(task, buffer);
        if (task.number == task.last) finish(task.shard, digest.finish());
      }
    } catch (...) {
      fail(number);
    }
  }

  /// A task's block; nullptr when its shard is not going to be finished.
  AlignedBuffer* wait_for(const Task& task) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return task.last >= limit_ || made_[task.number] != nullptr; });
    return task.last >= limit_ ? nullptr : made_[task.number];
  }

  void give_back(const Task& task, AlignedBuffer* buffer) {
    const std::lock_guard lock(mutex_);
    free_.push_back(buffer);
    hashed_ += task.size;
    changed_.notify_all();
  }

  void finish(std::size_t shard, const std::string& sha256) {
    std::set<const InputFile*> inputs;
    for (const PlannedTensor* tensor : shards_[shard].tensors) {
      if (tensor->source() != nullptr) inputs.insert(tensor->source()->file.get());
    }
    for (const InputFile* input : inputs) input->check_unchanged();
    output(shard).close();
    finished_(shard, sha256);
  }

  const std::vector<LaidOutShard>& shards_;
  const std::string& folder_;
  const ShardFinished& finished_;
  Fit fit_;
  std::vector<Task> tasks_;
  std::deque<Output> outputs_;         ///< by shard
  std::deque<AlignedBuffer> buffers_;  ///< of blocks
  std::uint64_t total_ = 0;            ///< output bytes
  std::vector<std::thread> threads_;

  std::mutex mutex_;  ///< of everything below
  std::condition_variable changed_;
  std::vector<AlignedBuffer*> free_;
  std::vector<AlignedBuffer*> made_;  ///< by task: its block, once it is written
  std::size_t next_ = 0;              ///< task to be taken
  std::uint64_t hashed_ = 0;          ///< output bytes
  int running_ = 0;                   ///< threads
  std::size_t limit_;                 ///< tasks from this one on are not made
  std::exception_ptr error_;
  std::size_t failed_ = 0;  ///< task that error_ is of
};

}  // namespace

void write_shards(const std::vector<LaidOutShard>& shards,
                  const std::string& folder,
                  const PipelineLimits& limits,
                  const ShardFinished& finished) {
  Pipeline(shards, folder, limits, finished).run();
}

}  // namespace ditq
