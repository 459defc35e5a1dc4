#include "format/strict_json.h"

#include <algorithm>

#include <fmt/format.h>

namespace ditq {
namespace {

/// Bytes; parse() would allocate anew, with its own depth, for anything below its minimum of 32.
constexpr std::size_t kSmallestCapacity = 64;

}  // namespace

simdjson::dom::element parse_strict(simdjson::dom::parser& parser,
                                    const simdjson::padded_string& text,
                                    ErrorCode code,
                                    std::string_view what,
                                    const std::string& path) {
  // Allocated here because this is the only way to set the depth; parse() keeps what is large
  // enough.
  simdjson::error_code status =
      parser.allocate(std::max(text.size(), kSmallestCapacity), kMaxHeaderDepth);
  simdjson::dom::element root;
  if (status == simdjson::SUCCESS) status = parser.parse(text).get(root);
  if (status == simdjson::SUCCESS) return root;

  if (status == simdjson::MEMALLOC || status == simdjson::CAPACITY) {
    throw Error(ErrorCode::out_of_memory,
                fmt::format("{}: no memory for a header of {} bytes", what, text.size()),
                {.path = path});
  }
  if (status == simdjson::DEPTH_ERROR) {
    throw Error(ErrorCode::json_too_deep, fmt::format("{}: JSON is nested too deep", what),
                {.path = path, .expected = fmt::format("at most {} levels", kMaxHeaderDepth)});
  }
  throw Error(code, fmt::format("{}: not valid JSON", what),
              {.path = path,
               .expected = "JSON in UTF-8",
               .found = std::string(simdjson::error_message(status))});
}

std::string_view kind_of(simdjson::dom::element element) {
  switch (element.type()) {
    case simdjson::dom::element_type::ARRAY:
      return "an array";
    case simdjson::dom::element_type::OBJECT:
      return "an object";
    case simdjson::dom::element_type::STRING:
      return "a string";
    case simdjson::dom::element_type::BOOL:
      return "a boolean";
    case simdjson::dom::element_type::NULL_VALUE:
      return "null";
    case simdjson::dom::element_type::DOUBLE:
      return "a number that is not an integer";
    case simdjson::dom::element_type::INT64:
    case simdjson::dom::element_type::UINT64:
      return "an integer";
  }
  return "something else";
}

RepeatedKey repeated_key(std::vector<std::string_view> keys) {
  std::sort(keys.begin(), keys.end());
  const auto repeated = std::adjacent_find(keys.begin(), keys.end());
  if (repeated == keys.end()) return {};
  return {.found = true, .key = std::string(*repeated)};
}

}  // namespace ditq
