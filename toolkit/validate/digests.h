#pragma once
// What files hold, as SHA-256. A file is read once and then known by its inode, size and times, so that a second look at
// a pipeline of 30 GB costs nothing.

#include <map>
#include <string>
#include <vector>

#include "base/file.h"
#include "records/record.h"

namespace ditq {

class Digests {
 public:
  /// `cache` is a JSON file that save() writes; one that is damaged counts as empty.
  explicit Digests(std::string cache);

  /// The digest of a file. Errors: as InputFile::open; file_changed, interrupted.
  std::string of_file(const std::string& path);

  /// All files below a folder, or the file itself, sorted by their names relative to it; links are followed. Of a
  /// pipeline (model_index.json) only that document and the components that it lists: repositories hold copies.
  /// Errors: file_not_found; as of_file.
  std::vector<RecordedFile> files_of(const std::string& path);

  /// One digest of files_of(path): names and contents. A path that is not there has one too.
  std::string of_tree(const std::string& path);

  /// Writes the cache. Errors: storage.
  void save() const;

 private:
  /// What changes with a file's content, also where its size and time of modification are set back.
  struct Identity {
    std::uint64_t inode = 0;
    std::uint64_t size = 0;     ///< bytes
    std::int64_t modified = 0;  ///< nanoseconds since 1970
    std::int64_t changed = 0;   ///< of content, name or rights; nobody can set it back
    bool operator==(const Identity&) const = default;
  };
  struct Known {
    Identity identity;
    std::string digest;
  };
  static Identity identity_of(const InputFile& file);

  std::string cache_;
  std::map<std::string, Known> known_;
};

}  // namespace ditq
