#include "convert/atomic_output.h"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <memory>
#include <random>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPartial = ".partial-";
constexpr std::string_view kReplaced = ".replaced-";
constexpr std::size_t kDigits = 8;

[[noreturn]] void raise_storage(const std::string& what, const std::string& path, int error) {
  throw Error(ErrorCode::storage, fmt::format("{}: {}", what, std::strerror(error)),
              {.path = path});
}

bool exists(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0;
}

void sync_folder(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) raise_storage("cannot open the folder", path, errno);
  const int error = ::fsync(descriptor) != 0 ? errno : 0;
  ::close(descriptor);
  // Some network file systems cannot sync a folder; their rename is durable by itself.
  if (error != 0 && error != EINVAL && error != ENOTSUP)
    raise_storage("cannot sync the folder", path, error);
}

void sync_tree(const std::string& path) {
  for (const auto& entry : fs::recursive_directory_iterator(path)) {
    if (entry.is_directory() && !entry.is_symlink()) sync_folder(entry.path().string());
  }
  sync_folder(path);
}

// A folder's flock, while this lives. Where the file system has none (some network ones), nothing is held: runs then
// do not notice each other, and nobody removes what another may be writing.
class FolderLock {
 public:
  explicit FolderLock(const std::string& path)
      : descriptor_(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) {
    if (descriptor_ < 0) return;
    held_ = ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0;
    busy_ = !held_ && errno == EWOULDBLOCK;
  }
  ~FolderLock() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

  bool held() const { return held_; }
  bool busy() const { return busy_; }
  /// Hands the open, locked folder to the caller; -1 where nothing is held.
  int release() {
    if (!held_) return -1;
    return std::exchange(descriptor_, -1);
  }

 private:
  int descriptor_;
  bool held_ = false;
  bool busy_ = false;
};

// The lock of the folder that outputs stand in: held for the moments in which names change.
class ParentLock {
 public:
  explicit ParentLock(const std::string& parent) {
    constexpr int kTries = 100;
    for (int i = 0; i < kTries; ++i) {
      lock_ = std::make_unique<FolderLock>(parent);
      if (!lock_->busy()) return;
      check_interrupt();
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    throw Error(ErrorCode::output_busy, "another run keeps the output's parent folder locked",
                {.path = parent});
  }

 private:
  std::unique_ptr<FolderLock> lock_;
};

std::string random_digits() {
  std::random_device device;
  return fmt::format("{:08x}", device());
}

// Entries of `target`'s folder that are named "<target><mark><8 hex digits>".
std::vector<std::string> siblings(const std::string& target, std::string_view mark) {
  const std::string prefix = fs::path(target).filename().string() + std::string(mark);
  std::vector<std::string> found;
  std::error_code status;
  const fs::path parent = fs::path(target).parent_path();
  for (fs::directory_iterator entry(parent, status); !status && entry != fs::directory_iterator();
       entry.increment(status)) {
    const std::string name = entry->path().filename().string();
    const bool ours =
        name.size() == prefix.size() + kDigits && name.starts_with(prefix) &&
        name.find_first_not_of("0123456789abcdef", prefix.size()) == std::string::npos;
    std::error_code ignored;
    if (ours && entry->symlink_status(ignored).type() == fs::file_type::directory) {
      found.push_back(entry->path().string());
    }
  }
  return found;
}

void remove_folder(const std::string& path) {
  std::error_code status;
  fs::remove_all(path, status);
  if (status) {
    log_warning(
        fmt::format("cannot remove {}: {}; it is no longer needed", path, status.message()));
  }
}

void rename_folder(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0)
    raise_storage("cannot move the output to its place", to, errno);
}

}  // namespace

void check_target(const std::string& target, bool overwrite) {
  if (!exists(target)) return;
  if (!fs::is_directory(target)) {
    throw Error(ErrorCode::output_exists, "--output-dir is not a folder",
                {.path = target,
                 .found = "a file",
                 .advice = "It is not replaced, with --overwrite neither"});
  }
  if (overwrite) return;
  throw Error(ErrorCode::output_exists, "the output folder exists already",
              {.path = target, .advice = "Use --overwrite to replace it"});
}

void check_free_space(const std::string& target, std::uint64_t bytes) {
  fs::path place = fs::path(target).parent_path();
  while (!place.empty() && place.has_relative_path() && !fs::exists(place))
    place = place.parent_path();
  struct statvfs status {};
  if (::statvfs(place.c_str(), &status) != 0 || status.f_blocks == 0) return;
  const std::uint64_t free = std::uint64_t{status.f_bavail} * status.f_frsize;
  if (free >= bytes) return;
  throw Error(ErrorCode::storage, "not enough space for the output",
              {.path = target,
               .expected = human_bytes(bytes),
               .found = human_bytes(free) + " free",
               .advice = "Free some space or choose another --output-dir"});
}

AtomicOutput::AtomicOutput(std::string target, bool overwrite, Replace replace)
    : target_(std::move(target)),
      parent_(fs::path(target_).parent_path().string()),
      overwrite_(overwrite),
      replace_(replace) {
  for (fs::path place = parent_; !fs::exists(place); place = place.parent_path()) {
    made_parents_.insert(made_parents_.begin(), place.string());
  }
  try {
    for (const std::string& folder : made_parents_) {
      if (::mkdir(folder.c_str(), 0777) != 0 && errno != EEXIST) {
        raise_storage("cannot create the folder", folder, errno);
      }
    }
    const ParentLock guard(parent_);
    clean_up_after_dead_runs();
    make_partial();
  } catch (...) {
    for (auto it = made_parents_.rbegin(); it != made_parents_.rend(); ++it) ::rmdir(it->c_str());
    throw;
  }
}

void AtomicOutput::clean_up_after_dead_runs() {
  for (const std::string& partial : siblings(target_, kPartial)) {
    const FolderLock lock(partial);
    if (lock.busy()) {
      throw Error(ErrorCode::output_busy, "another run is writing this output",
                  {.path = target_,
                   .found = partial,
                   .advice = "Wait for it, or choose another --output-dir"});
    }
    if (!lock.held()) continue;
    log_verbose(fmt::format("removing {}, left by a run that did not finish", partial));
    remove_folder(partial);
  }
  // Between the two renames of a replacement there is no target: the old one goes back to its place.
  for (const std::string& replaced : siblings(target_, kReplaced)) {
    if (exists(target_)) {
      remove_folder(replaced);
    } else {
      log_warning(
          fmt::format("restoring {}, which a run that did not finish had set aside", target_));
      rename_folder(replaced, target_);
    }
  }
}

void AtomicOutput::make_partial() {
  int error = EEXIST;
  while (error == EEXIST) {
    partial_ = fmt::format("{}{}{}", target_, kPartial, random_digits());
    error = ::mkdir(partial_.c_str(), 0777) == 0 ? 0 : errno;
  }
  if (error != 0) raise_storage("cannot create the output folder", partial_, error);
  lock_ = FolderLock(partial_).release();
}

AtomicOutput::~AtomicOutput() {
  if (!committed_) {
    remove_folder(partial_);
    for (auto it = made_parents_.rbegin(); it != made_parents_.rend(); ++it) ::rmdir(it->c_str());
  }
  if (lock_ >= 0) ::close(lock_);
}

void AtomicOutput::commit() {
  sync_tree(partial_);
  const ParentLock guard(parent_);
  check_target(target_, overwrite_);
  if (exists(target_)) {
    replace_target();
  } else {
    rename_folder(partial_, target_);
  }
  committed_ = true;
  sync_folder(parent_);
}

void AtomicOutput::replace_target() {
  if (replace_ == Replace::exchange) {
    if (::renameat2(AT_FDCWD, partial_.c_str(), AT_FDCWD, target_.c_str(), RENAME_EXCHANGE) == 0) {
      remove_folder(partial_);
      return;
    }
    if (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP) {
      raise_storage("cannot move the output to its place", target_, errno);
    }
  }
  const std::string replaced = fmt::format("{}{}{}", target_, kReplaced, random_digits());
  rename_folder(target_, replaced);
  try {
    rename_folder(partial_, target_);
  } catch (...) {
    rename_folder(replaced, target_);
    throw;
  }
  remove_folder(replaced);
}

}  // namespace ditq
