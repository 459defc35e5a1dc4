#pragma once
// JSON documents: bounded parsing that names the file, and text exactly as Python's json.dumps writes it.

#include <cstdint>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace ditq {

/// Keeps the document's key order, as Python's dict does.
using Json = nlohmann::ordered_json;

/// Deepest nesting that parse_json accepts.
inline constexpr int kMaxJsonDepth = 128;

/// Largest document that parse_json accepts, in bytes: real ones have at most a few MB, and a parsed one takes up to 25
/// times its size.
inline constexpr std::uint64_t kMaxJsonBytes = std::uint64_t{32} << 20;

/// Parses a whole document. `path` names it in errors. NaN, Infinity and -Infinity are read as Python reads them; a
/// repeated key keeps its last value, as Python's does. A number beyond a double, which Python reads as infinity, is an
/// error.
/// Errors: json_syntax, json_too_deep, json_too_large.
Json parse_json(std::string_view text, const std::string& path);

/// Reads and parses a file. Errors: as parse_json, file_not_found, file_unreadable.
Json read_json(const std::string& path);

/// How Python's json.dumps is called.
struct JsonStyle {
  int indent = -1;         ///< spaces a level; negative: one line with ", " and ": "
  bool sort_keys = false;  ///< by code point
};

/// The text that Python's json.dumps(ensure_ascii=True) gives: floats as repr, non-ASCII as \uXXXX, NaN and Infinity
/// bare. No newline at the end.
std::string dump_json(const Json& value, JsonStyle style = {});

/// Members of an object, with errors that name the document and the key.
/// Errors: json_type.
const Json& require_member(const Json& object, const std::string& key, const std::string& path);
std::string require_string(const Json& object, const std::string& key, const std::string& path);

}  // namespace ditq
