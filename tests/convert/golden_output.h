#pragma once
// What a conversion wrote, in the form that recorded manifests are compared in.

#include <filesystem>
#include <set>
#include <string>

#include "base/file.h"
#include "base/json.h"
#include "format/tensor_info.h"

namespace ditq::test {

/// Lower-case hexadecimal digits.
std::string sha256(Bytes bytes);

/// A folder's content.
struct GoldenOutput {
  /// "name dtype shape digest shard": shape as 2x3, "-" for a scalar; the digest is half a SHA-256.
  std::set<std::string> rows;
  std::set<std::string> twice;     ///< tensors that two shards hold; the later one counts
  Json metadata = Json::object();  ///< by shard: SHA-256 of each metadata value
  Json files = Json::object();     ///< SHA-256 of every other file
};

/// Reads a folder that a converter wrote.
GoldenOutput read_output(const std::filesystem::path& folder);

/// Reads a recorded manifest.json.
GoldenOutput read_manifest(const Json& manifest);

/// Reads a case of tests/data/convert: its `tensors` are ranges such as "0-3,7" in the list `rows`.
GoldenOutput read_packed(const Json& packed, const Json& rows);

}  // namespace ditq::test
