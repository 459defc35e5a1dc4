#pragma once
// The file `checksums` beside the shards of a converted checkpoint: SHA-256 of each, as `sha256sum` writes and checks
// them. Loaders of checkpoints pass over it.

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace ditq {

/// Its file name.
inline constexpr const char* kChecksumsName = "checksums";

/// SHA-256 in lower-case hexadecimal digits by file name.
using Checksums = std::map<std::string, std::string>;

/// The file's text: "<64 digits>  <name>" a line, sorted by name; names with line breaks or backslashes are escaped as
/// sha256sum does.
std::string checksums_text(const Checksums& checksums);

/// Reads such a text; `path` names it in errors. Also what `sha256sum -b` writes.
/// Errors: bad_checksums (another kind of line, a name twice, a name with a folder).
Checksums parse_checksums(std::string_view text, const std::string& path);

/// A file that is not what it should be.
struct ChecksumProblem {
  enum class Kind {
    differs,   ///< its content has another digest
    missing,   ///< it is listed and not there
    unlisted,  ///< a shard that is there and not listed
  };
  Kind kind = Kind::differs;
  std::string name;
  std::string expected;  ///< digest; empty: unlisted
  std::string found;     ///< digest; empty: missing, or unlisted
};

/// What was checked and what is wrong.
struct ChecksumReport {
  std::vector<std::string> intact;        ///< names, sorted
  std::vector<ChecksumProblem> problems;  ///< sorted by name
};

/// Whether a checkpoint's folder has checksums.
bool has_checksums(const std::string& folder);

/// Reads every listed file of a checkpoint's folder and compares, several at a time, with a progress bar. The folder's
/// other *.safetensors files are reported as unlisted.
/// Errors: file_not_found (no checksums), bad_checksums, file_unreadable, file_changed, interrupted.
ChecksumReport verify_checksums(const std::string& folder);

}  // namespace ditq
