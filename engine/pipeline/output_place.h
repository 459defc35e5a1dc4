#pragma once
// Places that results are written to.

#include <string>

namespace ditq {

/// Makes a folder and its parents; nothing for an empty path.
/// Errors: storage.
void make_folder(const std::string& path);

/// Raises before the work starts what would fail after it: `path` cannot become a file (or a
/// folder), because something of the other kind is there, or because the nearest folder that exists
/// cannot be written. Nothing for an empty path.
/// Errors: storage.
void require_writable_file(const std::string& path);
void require_writable_folder(const std::string& path);

}  // namespace ditq
