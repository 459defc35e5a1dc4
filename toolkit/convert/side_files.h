#pragma once
// Files beside the shards that go to the output unchanged.

#include <cstdint>
#include <string>
#include <vector>

namespace ditq {

/// A file or folder to be copied.
struct SideFile {
  std::string from;
  std::string to;  ///< relative to the output folder
  bool is_folder = false;
  std::uint64_t size = 0;  ///< bytes of a file
};

/// Every entry of `folder` except shards (names ending .safetensors), the two standard index names, checksums and
/// `written` (names that the converter writes itself). Sub-folders come whole. Links are followed, as model caches are made of them; a
/// folder that a link brings back into itself, a link to nothing, special files and more than
/// 100,000 entries are errors.
/// Errors: file_not_found, file_unreadable, unsupported.
std::vector<SideFile> list_side_files(const std::string& folder,
                                      const std::vector<std::string>& written);

/// Copies them below `output`. Errors: storage, file_changed, interrupted.
void copy_side_files(const std::vector<SideFile>& files, const std::string& output);

/// Bytes of all of them.
std::uint64_t total_size(const std::vector<SideFile>& files);

/// Writes a document of the output folder, durably. Errors: storage.
void write_document(const std::string& folder, const std::string& name, const std::string& text);

}  // namespace ditq
