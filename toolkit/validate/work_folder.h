#pragma once
// The folder in which a validation leaves everything, for one run at a time.

#include <string>

namespace ditq {

/// Holds the folder's lock while it lives.
class WorkFolder {
 public:
  /// Makes the folder, or takes one that an earlier validation made.
  /// Errors: output_exists (holds other things), output_busy (another run works in it), storage.
  explicit WorkFolder(std::string path);
  ~WorkFolder();
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;

  const std::string& path() const { return path_; }
  /// A file or folder in it.
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  /// Where stages note what they have done.
  std::string notes() const { return path_ + "/.stages"; }

 private:
  std::string path_;
  int lock_ = -1;
};

}  // namespace ditq
