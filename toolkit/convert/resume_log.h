#pragma once
// What a run that did not finish left ready for the next one: a log in the partial folder with one line a finished
// shard. A shard is used again only when everything that its bytes depend on is the same.

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "base/file.h"
#include "convert/tensor_blocks.h"

namespace ditq {

/// Its file name. A folder that is committed has none.
inline constexpr const char* kResumeLogName = ".ditq-resume";

/// Tells apart inputs, each looked at once: path, size, time of change and SHA-256 of the header, or of a .pt file's end.
class InputIdentities {
 public:
  /// Errors: file_changed, file_unreadable.
  const std::string& of(const InputFile& file);

 private:
  std::map<const InputFile*, std::string> known_;
};

/// SHA-256 of everything that a shard's bytes depend on: its head, and for each tensor what is done with which bytes of
/// which input. Options count by what they change. Errors: as InputIdentities::of.
std::string fingerprint(const LaidOutShard& shard, InputIdentities& inputs);

/// The finished shards of a partial folder.
class ResumeLog {
 public:
  /// Reads the log, where there is one. Lines that were cut short, and shards that are no longer as they were when they
  /// were finished, do not count.
  explicit ResumeLog(std::string folder);

  /// SHA-256 of the finished shard of that name, or nullptr where it has to be written.
  const std::string* find(const std::string& name, const std::string& fingerprint) const;

  /// Adds a shard that is complete and durable; the log then is, too. Errors: storage.
  void add(const std::string& name, const std::string& fingerprint, const std::string& sha256);

  /// Removes everything of the folder but finished shards and the log; the log too when there are none. Returns how
  /// many shards there are. Errors: storage.
  std::size_t keep_finished() const;
  /// The same after all but the shards in `names` are forgotten. Errors: storage.
  void keep_only(const std::set<std::string>& names);

  /// Removes the log's file: the folder is complete. Errors: storage.
  void remove() const;

 private:
  struct Finished {
    std::string fingerprint;
    std::string sha256;
  };

  std::string path_of(const std::string& name) const;
  void read_line(std::string_view line);

  std::string folder_;
  std::map<std::string, Finished> finished_;  ///< by file name
};

}  // namespace ditq
