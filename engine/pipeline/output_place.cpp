#include "pipeline/output_place.h"

#include <filesystem>

#include <unistd.h>

#include "base/error.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

/// The first of the path and its parents that is there.
fs::path nearest_existing(fs::path path) {
  while (!fs::exists(path) && path.has_relative_path()) path = path.parent_path();
  return path;
}

}  // namespace

void make_folder(const std::string& path) {
  if (path.empty()) return;
  std::error_code error;
  fs::create_directories(path, error);
  if (error) {
    throw Error(ErrorCode::storage, "cannot create the folder: " + error.message(), {.path = path});
  }
}

void require_writable_folder(const std::string& path) {
  if (path.empty()) return;
  const fs::path nearest = nearest_existing(fs::absolute(path));
  if (!fs::is_directory(nearest)) {
    throw Error(ErrorCode::storage, "a file is in the way of a folder", {.path = nearest.string()});
  }
  if (::access(nearest.c_str(), W_OK | X_OK) != 0) {
    throw Error(ErrorCode::storage, "no permission to write into the folder",
                {.path = nearest.string()});
  }
}

void require_writable_file(const std::string& path) {
  if (path.empty()) return;
  if (fs::is_directory(path)) {
    throw Error(ErrorCode::storage, "a folder is in the way of a file", {.path = path});
  }
  require_writable_folder(fs::absolute(path).parent_path().string());
}

}  // namespace ditq
