#include "base/byte_size.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <string>
#include <utility>

namespace ditq {
namespace {

std::optional<double> factor_of(std::string unit) {
  constexpr std::array<std::pair<char, int>, 4> kPowers{{{'k', 1}, {'m', 2}, {'g', 3}, {'t', 4}}};
  std::transform(unit.begin(), unit.end(), unit.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (unit.empty() || unit == "b") return 1.0;
  const std::string rest = unit.substr(1);
  if (!rest.empty() && rest != "b" && rest != "ib") return std::nullopt;
  for (const auto& [letter, power] : kPowers) {
    if (letter == unit[0]) return std::pow(rest == "ib" ? 1024.0 : 1000.0, power);
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::uint64_t> parse_byte_size(std::string_view text) {
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  if (error != std::errc() || !(number >= 0)) return std::nullopt;
  const char* unit = rest;
  while (unit != end && *unit == ' ') ++unit;
  const auto factor = factor_of(std::string(unit, end));
  if (!factor) return std::nullopt;
  const double bytes = number * *factor;
  if (!(bytes < 0x1p63)) return std::nullopt;
  return static_cast<std::uint64_t>(bytes);
}

}  // namespace ditq
