#pragma once
// Lists of seeds.

#include <cstdint>
#include <string>
#include <vector>

namespace ditq {

/// Most seeds in one list.
inline constexpr std::size_t kMaxSeeds = 10'000;

/// The seeds of "1,2,3", of a range "0-9" (both ends included), or of a mixture. Errors: usage (no list, a range that
/// ends before it begins, a seed twice, too many).
std::vector<std::uint64_t> parse_seeds(const std::string& text);

}  // namespace ditq
