#pragma once
// Numbers of bytes as people type them.

#include <cstdint>
#include <optional>
#include <string_view>

namespace ditq {

/// "1048576", "512MiB", "1.5 GB", "2g": a number and, behind it, nothing, B, or one of k, M, G, T alone, with B (powers of
/// 1000) or with iB (powers of 1024), in any case. Nothing for other texts, negative numbers and what does not fit.
std::optional<std::uint64_t> parse_byte_size(std::string_view text);

}  // namespace ditq
