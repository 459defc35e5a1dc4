#pragma once
// What `ditq tune` has measured, appended to a file measurement by measurement, so that a run that was stopped goes on
// where it was, and a run with another bar measures nothing twice.

#include <map>
#include <string>

#include "base/json.h"

namespace ditq {

/// JSON lines {"inputs": fingerprint, "key": …, "value": …}. Lines of other inputs stay untouched; a line that a crash
/// left unfinished counts for nothing.
class TuneLog {
 public:
  /// Reads what the file knows of these inputs. An empty path: nothing is kept.
  /// Errors: file_unreadable, storage; bad_config for a file that is no such log.
  TuneLog(std::string path, std::string fingerprint);

  /// The value that was measured under a key, or nullptr.
  const Json* find(const std::string& key) const;
  /// Appends a measurement; on the disk when this returns. Errors: storage.
  void add(const std::string& key, Json value);
  /// Measurements that were there at the beginning.
  std::size_t known() const { return known_; }

 private:
  std::string path_;
  std::string fingerprint_;
  std::map<std::string, Json> values_;
  std::size_t known_ = 0;
};

}  // namespace ditq
