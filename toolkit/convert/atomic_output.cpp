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
#include "base/system_call.h"
#include "convert/resume_log.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPartial = ".partial-";
constexpr std::string_view kComplete = ".complete-";
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

// Whether a path leads to something; raises where that cannot be known, as with links in a circle.
bool is_there(const fs::path& path) {
  std::error_code status;
  const bool there = fs::exists(path, status);
  if (status) raise_storage("cannot look at the folder", path.string(), status.value());
  return there;
}

void sync_folder(const std::string& path) {
  const int descriptor =
      uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  if (descriptor < 0) raise_storage("cannot open the folder", path, errno);
  const int error = uninterrupted([&] { return ::fsync(descriptor); }) != 0 ? errno : 0;
  ::close(descriptor);
  // Some network file systems cannot sync a folder; their rename is durable by itself.
  if (error != 0 && error != EINVAL && error != ENOTSUP)
    raise_storage("cannot sync the folder", path, error);
}

void sync_tree(const std::string& path) {
  std::error_code status;
  for (fs::recursive_directory_iterator entry(path, status), end; !status && entry != end;
       entry.increment(status)) {
    if (entry->symlink_status().type() == fs::file_type::directory) {
      sync_folder(entry->path().string());
    }
  }
  if (status) raise_storage("cannot list the folder", path, status.value());
  sync_folder(path);
}

// A folder's flock, while this lives. Where the file system has none (some network ones), nothing is held: runs then
// do not notice each other, and nobody removes what another may be writing.
class FolderLock {
 public:
  explicit FolderLock(const std::string& path)
      : descriptor_(uninterrupted([&] {
          return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        })) {
    if (descriptor_ < 0) return;
    held_ = uninterrupted([&] { return ::flock(descriptor_, LOCK_EX | LOCK_NB); }) == 0;
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
    throw Error(ErrorCode::output_busy, "another program keeps the output's parent folder locked",
                {.path = parent, .advice = "See who with: fuser -v " + parent});
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

// Bytes of the log of finished shards in a partial folder; 0 without one.
std::uint64_t size_of_log(const std::string& partial) {
  const auto stamp = stamp_of((fs::path(partial) / kResumeLogName).string());
  return stamp ? stamp->size : 0;
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
  while (!place.empty() && place.has_relative_path() && !is_there(place))
    place = place.parent_path();
  struct statvfs status {};
  if (::statvfs(place.c_str(), &status) != 0 || status.f_blocks == 0) return;
  const std::uint64_t free = std::uint64_t{status.f_bavail} * status.f_frsize;
  if (free >= bytes) return;
  throw Error(ErrorCode::storage, "not enough space for the output",
              {.path = target,
               .expected = human_bytes(bytes),
               .found = human_bytes(free) + " free",
               .advice = human_bytes(bytes - free) +
                         " are missing: free some space or choose another --output-dir"});
}

AtomicOutput::AtomicOutput(std::string target, bool overwrite, Replace replace)
    : target_(std::move(target)),
      parent_(fs::path(target_).parent_path().string()),
      overwrite_(overwrite),
      replace_(replace) {
  for (fs::path place = parent_; !is_there(place); place = place.parent_path()) {
    made_parents_.insert(made_parents_.begin(), place.string());
  }
  try {
    for (const std::string& folder : made_parents_) {
      if (::mkdir(folder.c_str(), 0777) != 0 && errno != EEXIST) {
        raise_storage("cannot create the folder", folder, errno);
      }
    }
    const ParentLock guard(parent_);
    finish_begun_replacements();
    check_target(target_, overwrite_);
    take_over_or_remove_dead();
    if (lock_ < 0) make_partial();
  } catch (...) {
    remove_made_parents();
    throw;
  }
}

// Called with the parent locked: whoever wrote these names is dead. Each step leaves names from which the next follows.
void AtomicOutput::finish_begun_replacements() const {
  for (const std::string& complete : siblings(target_, kComplete)) {
    if (!FolderLock(complete).held()) continue;
    const std::string digits = complete.substr(complete.size() - kDigits);
    const std::string replaced = fmt::format("{}{}{}", target_, kReplaced, digits);
    log_warning(
        fmt::format("putting {} in place, which a run completed that did not finish", target_));
    if (exists(target_) && !exists(replaced)) rename_folder(target_, replaced);
    // With both there, somebody else has made a target meanwhile: it stays.
    exists(target_) ? remove_folder(complete) : rename_folder(complete, target_);
  }
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

void AtomicOutput::take_over_or_remove_dead() {
  std::uint64_t most = 0;
  for (const std::string& partial : siblings(target_, kPartial)) {
    FolderLock lock(partial);
    if (lock.busy()) {
      throw Error(ErrorCode::output_busy, "another run is writing this output",
                  {.path = target_,
                   .found = partial,
                   .advice = "Wait for it, or choose another --output-dir"});
    }
    if (!lock.held()) continue;
    const std::uint64_t size = size_of_log(partial);
    if (size <= most) {
      log_verbose(fmt::format("removing {}, left by a run that did not finish", partial));
      remove_folder(partial);
      continue;
    }
    // The longest log wins, should there ever be two.
    if (lock_ >= 0) {
      remove_folder(partial_);
      ::close(lock_);
    }
    most = size;
    partial_ = partial;
    lock_ = lock.release();
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
  if (!committed_ && !kept_) {
    remove_folder(partial_);
    remove_made_parents();
  }
  if (lock_ >= 0) ::close(lock_);
}

void AtomicOutput::remove_made_parents() const {
  for (auto it = made_parents_.rbegin(); it != made_parents_.rend(); ++it) ::rmdir(it->c_str());
}

void AtomicOutput::commit() {
  sync_tree(partial_);
  const ParentLock guard(parent_);
  check_target(target_, overwrite_);
  std::string old;
  if (!exists(target_)) {
    rename_folder(partial_, target_);
  } else {
    old = exchange() ? partial_ : replace_by_renames();
  }
  committed_ = true;
  sync_folder(parent_);  // before the old output goes
  if (!old.empty()) remove_folder(old);
}

// False where the file system cannot.
bool AtomicOutput::exchange() const {
  if (replace_ == Replace::renames) return false;
  const int result = uninterrupted([&] {
    return ::renameat2(AT_FDCWD, partial_.c_str(), AT_FDCWD, target_.c_str(), RENAME_EXCHANGE);
  });
  if (result == 0) return true;
  if (errno == EINVAL || errno == ENOSYS || errno == ENOTSUP) return false;
  raise_storage("cannot move the output to its place", target_, errno);
}

// Returns where the old output is.
std::string AtomicOutput::replace_by_renames() {
  const std::string digits = random_digits();
  const std::string complete = fmt::format("{}{}{}", target_, kComplete, digits);
  std::string replaced = fmt::format("{}{}{}", target_, kReplaced, digits);
  rename_folder(partial_, complete);
  partial_ = complete;
  sync_folder(parent_);
  rename_folder(target_, replaced);
  try {
    sync_folder(parent_);
    rename_folder(complete, target_);
  } catch (...) {
    if (!exists(target_)) rename_folder(replaced, target_);
    throw;
  }
  return replaced;
}

}  // namespace ditq
