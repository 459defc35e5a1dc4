#pragma once
// JSON that a machine wrote and that may be large: safetensors headers and shard indexes. Parsed
// strictly (RFC 8259, UTF-8 checked); repeated keys stay visible, so that they can be refused.

#include <string>
#include <string_view>
#include <vector>

#include <simdjson.h>

#include "base/error.h"

namespace ditq {

/// Deepest nesting accepted; what containers need is 3.
inline constexpr std::size_t kMaxHeaderDepth = 16;

/// Parses `text`, which must outlive the call only; the result lives as long as `parser`.
/// Errors: `code` for anything that is not JSON, json_too_deep, out_of_memory. `what` opens the
/// sentence, such as "safetensors".
simdjson::dom::element parse_strict(simdjson::dom::parser& parser,
                                    const simdjson::padded_string& text,
                                    ErrorCode code,
                                    std::string_view what,
                                    const std::string& path);

/// "an object", "a string", … for messages.
std::string_view kind_of(simdjson::dom::element element);

/// A key that stands twice in an object.
struct RepeatedKey {
  bool found = false;
  std::string key;
};
/// The first repeated key in byte order.
RepeatedKey repeated_key(std::vector<std::string_view> keys);

}  // namespace ditq
