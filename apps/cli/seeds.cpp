#include "seeds.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <string_view>

#include <fmt/format.h>

#include "base/error.h"

namespace ditq {
namespace {

[[noreturn]] void refuse(const std::string& sentence, std::string_view found) {
  throw Error(ErrorCode::usage, "--seeds: " + sentence,
              {.expected = "whole numbers and ranges, such as 1,2,3 or 0-9",
               .found = fmt::format("'{}'", found)});
}

std::uint64_t parse_one(std::string_view text, std::string_view part) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
    refuse("not a list of seeds", part);
  }
  return value;
}

}  // namespace

std::vector<std::uint64_t> parse_seeds(const std::string& text) {
  std::vector<std::uint64_t> out;
  std::set<std::uint64_t> seen;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    const std::string_view part = std::string_view(text).substr(at, end - at);
    const std::size_t dash = part.find('-');
    const std::uint64_t first = parse_one(part.substr(0, dash), part);
    const std::uint64_t last =
        dash == std::string_view::npos ? first : parse_one(part.substr(dash + 1), part);
    if (last < first) refuse("a range ends before it begins", part);
    if (last - first >= kMaxSeeds - out.size()) {
      refuse(fmt::format("more than {} seeds", kMaxSeeds), part);
    }
    for (std::uint64_t seed = first; out.push_back(seed), seed != last; ++seed) continue;
    at = end + 1;
  }
  for (const std::uint64_t seed : out) {
    if (!seen.insert(seed).second) refuse("a seed stands twice", std::to_string(seed));
  }
  return out;
}

}  // namespace ditq
