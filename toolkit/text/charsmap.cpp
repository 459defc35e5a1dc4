#include "text/charsmap.h"

#include <array>
#include <cstddef>

#include <fmt/format.h>

#include "text/tokenizer_files.h"
#include "text/unicode.h"

namespace ditq {
namespace {

// A darts-clone unit: bits 0-7 label, 8 "a leaf follows", 9 offset in steps of 256, 10-30 offset,
// 31 "this is a leaf".
bool is_leaf(std::uint32_t unit) {
  return (unit >> 31) != 0;
}
bool has_leaf(std::uint32_t unit) {
  return ((unit >> 8) & 1) != 0;
}
std::uint32_t value(std::uint32_t unit) {
  return unit & 0x7FFFFFFFU;
}
std::uint32_t label(std::uint32_t unit) {
  return unit & 0x800000FFU;
}
std::uint32_t offset(std::uint32_t unit) {
  return (unit >> 10) << ((unit & 0x200U) >> 6);
}

std::uint32_t read_u32(std::string_view bytes, std::size_t at) {
  std::uint32_t out = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    out |= std::uint32_t{static_cast<unsigned char>(bytes[at + i])} << (8 * i);
  }
  return out;
}

constexpr std::uint32_t kNoDigit = 64;

std::uint32_t base64_digit(char c) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  static const auto table = [&] {
    std::array<std::uint32_t, 256> digits{};
    digits.fill(kNoDigit);
    for (std::size_t i = 0; i < kDigits.size(); ++i) {
      digits[static_cast<unsigned char>(kDigits[i])] = static_cast<std::uint32_t>(i);
    }
    return digits;
  }();
  return table[static_cast<unsigned char>(c)];
}

/// Nothing for text that is not padded base64.
std::optional<std::string> decode_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::size_t padding = 0;
  while (padding < 2 && text.ends_with('=')) {
    text.remove_suffix(1);
    ++padding;
  }
  std::string out;
  out.reserve(text.size() * 3 / 4);
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const std::uint32_t digit = base64_digit(c);
    if (digit == kNoDigit) return std::nullopt;
    bits = (bits << 6) | digit;
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out.push_back(static_cast<char>((bits >> count) & 0xFFU));
  }
  return out;
}

/// Bytes of an entry and of a replacement. The longest of Unicode's are 24 and 33; a map made to harm could lead in a
/// circle, or turn each character into megabytes.
constexpr std::size_t kLongestKey = 256;
constexpr std::size_t kLongestReplacement = 256;

/// Clusters of this many bytes or more are not looked up whole.
constexpr std::size_t kLongCluster = 6;

}  // namespace

Charsmap::Charsmap(std::string_view blob, const std::string& path) {
  constexpr std::size_t kHeader = 4;
  const std::size_t array_bytes = blob.size() < kHeader ? 0 : read_u32(blob, 0);
  if (array_bytes == 0 || array_bytes % 4 != 0 || array_bytes > blob.size() - kHeader) {
    bad_tokenizer("the character map's array does not fit its data", path,
                  {.found = fmt::format("{} of {} bytes", array_bytes, blob.size())});
  }
  units_.reserve(array_bytes / 4);
  for (std::size_t at = kHeader; at < kHeader + array_bytes; at += 4) {
    units_.push_back(read_u32(blob, at));
  }
  replacements_ = blob.substr(kHeader + array_bytes);
  check(path);
}

void Charsmap::check(const std::string& path) const {
  if (unicode::find_invalid_utf8(replacements_) != std::string::npos ||
      !replacements_.ends_with('\0')) {
    bad_tokenizer("the character map's replacements are not NUL-ended UTF-8", path);
  }
  for (std::size_t at = 0; at < replacements_.size();) {
    const std::size_t end = replacements_.find('\0', at);
    if (end - at > kLongestReplacement) {
      bad_tokenizer("a replacement of the character map is too long", path,
                    {.expected = fmt::format("at most {} bytes", kLongestReplacement),
                     .found = fmt::format("{} bytes", end - at)});
    }
    at = end + 1;
  }
  const auto starts_replacement = [&](std::uint32_t at) {
    return at < replacements_.size() &&
           (static_cast<unsigned char>(replacements_[at]) & 0xC0) != 0x80;
  };
  for (std::size_t i = 0; i < units_.size(); ++i) {
    const std::uint32_t unit = units_[i];
    // Lookups leave every unit but the first by its label, which no leaf has.
    if (is_leaf(unit) && i != 0) continue;
    const std::size_t children = i ^ offset(unit);
    const bool inside = (children | 0xFF) < units_.size();
    if (inside && (!has_leaf(unit) || starts_replacement(value(units_[children])))) continue;
    bad_tokenizer(fmt::format("unit {} of the character map leads out of it", i), path);
  }
}

Charsmap Charsmap::from_base64(std::string_view text, const std::string& path) {
  const auto blob = decode_base64(text);
  if (!blob) bad_tokenizer("the character map is not base64", path);
  return {*blob, path};
}

template <typename Found>
void Charsmap::for_each_prefix(std::string_view key, Found found) const {
  key = key.substr(0, kLongestKey);
  std::size_t at = offset(units_[0]);
  for (std::size_t i = 0; i < key.size(); ++i) {
    const std::uint32_t byte = static_cast<unsigned char>(key[i]);
    at ^= byte;
    const std::uint32_t unit = units_[at];
    // No entry holds a NUL; a unit with that label is a leaf or unused.
    if (byte == 0 || label(unit) != byte) return;
    at ^= offset(unit);
    if (!has_leaf(unit)) continue;
    const std::string_view rest = std::string_view(replacements_).substr(value(units_[at]));
    if (!found(i + 1, rest.substr(0, rest.find('\0')))) return;
  }
}

std::optional<std::string_view> Charsmap::find(std::string_view key) const {
  std::optional<std::string_view> out;
  for_each_prefix(key, [&](std::size_t, std::string_view replacement) {
    out = replacement;
    return false;
  });
  return out;
}

std::optional<Charsmap::Rule> Charsmap::longest(std::string_view text) const {
  std::optional<Rule> out;
  for_each_prefix(text, [&](std::size_t bytes, std::string_view replacement) {
    out = Rule{bytes, replacement};
    return true;
  });
  return out;
}

std::string Charsmap::normalize(std::string_view utf8) const {
  std::string out;
  out.reserve(utf8.size());
  for (std::size_t at = 0; at < utf8.size();) {
    const std::size_t end = unicode::grapheme_end(utf8, at);
    const std::string_view cluster = utf8.substr(at, end - at);
    if (cluster.size() < kLongCluster) {
      if (const auto whole = find(cluster)) {
        out += *whole;
        at = end;
        continue;
      }
    }
    while (at < end) {
      const std::size_t start = at;
      unicode::next_char(utf8, at);
      const std::string_view c = utf8.substr(start, at - start);
      out += find(c).value_or(c);
    }
  }
  return out;
}

}  // namespace ditq
