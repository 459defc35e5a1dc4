#pragma once
// Shell wildcards as Python's fnmatch matches them, which ModelOpt's quantizer rules are written in.

#include <string_view>

namespace ditq {

/// Whether the whole text matches: "*" any characters, dots and slashes too, "?" one byte, "[abc]" and "[!a-c]" one of a
/// set, everything else itself. A "[" without "]" is literal. Linear in pattern times text.
bool wildcard_match(std::string_view pattern, std::string_view text);

}  // namespace ditq
