#include "text/lossy_float.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <string>

namespace ditq {
namespace {

constexpr int kLargestPower = 308;

/// 10^0 … 10^308, each correctly rounded.
double power_of_ten(int exponent) {
  static const std::array<double, kLargestPower + 1> table = [] {
    std::array<double, kLargestPower + 1> powers{};
    for (int i = 0; i <= kLargestPower; ++i) {
      const std::string text = "1e" + std::to_string(i);
      std::from_chars(text.data(), text.data() + text.size(), powers[static_cast<std::size_t>(i)]);
    }
    return powers;
  }();
  return table[static_cast<std::size_t>(exponent)];
}

std::optional<double> scale(std::uint64_t significand, std::int64_t exponent) {
  auto value = static_cast<double>(significand);
  while (exponent < -kLargestPower) {
    if (value == 0.0) return value;
    value /= power_of_ten(kLargestPower);
    exponent += kLargestPower;
  }
  if (value == 0.0) return value;
  if (exponent > kLargestPower) return std::nullopt;
  const auto magnitude = static_cast<int>(std::abs(exponent));
  value = exponent < 0 ? value / power_of_ten(magnitude) : value * power_of_ten(magnitude);
  if (std::isinf(value)) return std::nullopt;
  return value;
}

/// Walks over a number's text.
struct Reader {
  std::string_view text;
  std::size_t at = 0;

  bool digit() const { return at < text.size() && text[at] >= '0' && text[at] <= '9'; }
  bool take(char a, char b) {
    if (at == text.size() || (text[at] != a && text[at] != b)) return false;
    ++at;
    return true;
  }

  /// Appends digits while they fit 64 bits. Of the rest, `counted` gets the number (integer part);
  /// behind the point serde_json ignores them.
  std::size_t digits(std::uint64_t& significand, std::int64_t& counted) {
    const std::size_t start = at;
    bool full = false;
    for (; digit(); ++at) {
      const auto value = static_cast<std::uint64_t>(text[at] - '0');
      std::uint64_t next = 0;
      full = full || __builtin_mul_overflow(significand, std::uint64_t{10}, &next) ||
             __builtin_add_overflow(next, value, &next);
      if (full) {
        ++counted;
      } else {
        significand = next;
      }
    }
    return at - start;
  }
};

/// The number behind e or E, saturated far outside of what a double holds.
std::optional<std::int64_t> read_exponent(Reader& reader) {
  const bool negative = reader.take('-', '-');
  if (!negative) reader.take('+', '+');
  if (!reader.digit()) return std::nullopt;
  std::int64_t exponent = 0;
  for (; reader.digit(); ++reader.at) {
    if (exponent < std::numeric_limits<std::int32_t>::max()) {
      exponent = exponent * 10 + (reader.text[reader.at] - '0');
    }
  }
  return negative ? -exponent : exponent;
}

}  // namespace

std::optional<double> parse_lossy_float(std::string_view text) {
  Reader reader{text};
  const bool negative = reader.take('-', '-');
  std::uint64_t significand = 0;
  std::int64_t exponent = 0;
  const std::size_t start = reader.at;
  const std::size_t integer_digits = reader.digits(significand, exponent);
  if (integer_digits == 0 || (integer_digits > 1 && text[start] == '0')) return std::nullopt;
  if (reader.take('.', '.')) {
    std::int64_t ignored = 0;
    const std::size_t count = reader.digits(significand, ignored);
    if (count == 0) return std::nullopt;
    exponent -= static_cast<std::int64_t>(count) - ignored;
  }
  if (reader.take('e', 'E')) {
    const auto power = read_exponent(reader);
    if (!power) return std::nullopt;
    exponent += *power;
  }
  if (reader.at != text.size()) return std::nullopt;
  const auto value = scale(significand, exponent);
  if (!value) return std::nullopt;
  return negative ? -*value : *value;
}

}  // namespace ditq
