#include "validate/work_folder.h"

#include <cerrno>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/error.h"
#include "base/system_call.h"

namespace ditq {

namespace fs = std::filesystem;

WorkFolder::WorkFolder(std::string path) : path_(std::move(path)) {
  while (path_.size() > 1 && path_.ends_with('/')) path_.pop_back();
  std::error_code error;
  const bool taken = fs::exists(path_, error) && !fs::exists(notes(), error) &&
                     !(fs::is_directory(path_, error) && fs::is_empty(path_, error));
  if (taken) {
    throw Error(ErrorCode::output_exists, "the folder holds something that no validation made",
                {.path = path_, .advice = "Name an empty folder, or one of an earlier run"});
  }
  fs::create_directories(notes(), error);
  const std::string lock = notes() + "/lock";
  if (!error) {
    lock_ = uninterrupted([&] { return ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644); });
  }
  if (lock_ < 0) {
    throw Error(ErrorCode::storage, "the folder cannot be made",
                {.path = path_, .found = error ? error.message() : std::strerror(errno)});
  }
  const int held = uninterrupted([&] { return ::flock(lock_, LOCK_EX | LOCK_NB); });
  if (held != 0 && errno == EWOULDBLOCK) {
    ::close(lock_);
    throw Error(ErrorCode::output_busy, "another validation works in this folder", {.path = path_});
  }
}

WorkFolder::~WorkFolder() {
  ::close(lock_);
}

}  // namespace ditq
