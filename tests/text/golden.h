#pragma once
// Recorded tokenizations, one JSON file per tokenizer.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"

namespace ditq::test {

/// The cases of a golden file. Texts may hold anything, NUL included.
inline Json golden_cases(const std::filesystem::path& file) {
  return read_json(file.string())["cases"];
}

/// A field of a case, or another one where it is absent: "the same as".
inline std::vector<std::int64_t> ids_of(const Json& golden,
                                        const std::string& field,
                                        const std::string& otherwise) {
  return golden[golden.contains(field) ? field : otherwise].get<std::vector<std::int64_t>>();
}

/// Copies files of one folder into another.
inline void copy_files(const std::filesystem::path& from,
                       const std::filesystem::path& to,
                       const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    std::filesystem::copy_file(from / name, to / name,
                               std::filesystem::copy_options::overwrite_existing);
  }
}

}  // namespace ditq::test
