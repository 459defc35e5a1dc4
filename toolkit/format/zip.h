#pragma once
// The directory of a zip archive of stored (not compressed) entries, as torch.save writes it. Entry
// data is never read here: an entry is a checked byte range.

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/file.h"

namespace ditq {

/// Where an entry's data lies.
struct ZipEntry {
  std::uint64_t offset = 0;  ///< bytes from the start of the file
  std::uint64_t size = 0;    ///< bytes
};

/// Limits of the reader; torch writes one entry a storage.
inline constexpr std::uint64_t kMaxZipEntries = 1'000'000;
inline constexpr std::uint64_t kMaxZipDirectory = std::uint64_t{1}
                                                  << 27;  ///< bytes of the central directory
inline constexpr std::size_t kMaxZipName = 4096;          ///< bytes of an entry's name

/// Reads and checks central directory and local headers, zip64 included: every entry is stored, not
/// encrypted, lies in the file and overlaps no other; names are unique and relative, without ".."
/// and control characters; local and central sizes agree.
/// Errors: zip_structure, naming the entry.
std::map<std::string, ZipEntry> read_zip_directory(const InputFile& file);

}  // namespace ditq
