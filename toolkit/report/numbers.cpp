#include "report/numbers.h"

#include <cmath>
#include <cstdint>

#include <fmt/format.h>

#include "base/file.h"

namespace ditq {
namespace {

/// What is no finite number as text; empty for one that is.
std::string special(std::optional<double> value) {
  if (!value) return "–";
  if (std::isnan(*value)) return "NaN";
  if (std::isinf(*value)) return *value > 0 ? "∞" : "−∞";
  return {};
}

/// With the minus sign that typographers use.
std::string with_minus(std::string text) {
  const bool zero = text.find_first_of("123456789") == std::string::npos;
  if (text.starts_with('-')) text.replace(0, 1, zero ? "" : "−");
  return text;
}

}  // namespace

std::string fixed(std::optional<double> value, int decimals) {
  const std::string other = special(value);
  return other.empty() ? with_minus(fmt::format("{:.{}f}", *value, decimals)) : other;
}

std::string significant(std::optional<double> value, int digits) {
  const std::string other = special(value);
  if (!other.empty()) return other;
  if (*value == 0) return "0";
  int exponent = static_cast<int>(std::floor(std::log10(std::fabs(*value))));
  // 9.996 to three digits is 10.0.
  if (std::fabs(*value) / std::pow(10.0, exponent) >= 10 - 5 * std::pow(10.0, -digits)) ++exponent;
  if (exponent < -3 || exponent > 4) {
    return with_minus(fmt::format("{:.{}f}×", *value / std::pow(10.0, exponent), digits - 1)) +
           power_of_ten(exponent);
  }
  return with_minus(fmt::format("{:.{}f}", *value, std::max(0, digits - 1 - exponent)));
}

std::string percent(std::optional<double> ratio) {
  const std::string other = special(ratio);
  if (!other.empty()) return other;
  const double value = *ratio * 100;
  const int decimals = std::fabs(value) >= 100 ? 0 : std::fabs(value) >= 10 ? 1 : 2;
  if (value != 0 && std::fabs(value) < 0.005) return significant(value, 2) + " %";
  return fixed(value, decimals) + " %";
}

std::string times(std::optional<double> ratio) {
  return special(ratio).empty() ? fixed(ratio, 2) + "×" : special(ratio);
}

std::string decibel(std::optional<double> value) {
  return value && !std::isnan(*value) ? fixed(value, 1) + " dB" : special(value);
}

std::string duration(std::optional<double> milliseconds) {
  const std::string other = special(milliseconds);
  if (!other.empty()) return other;
  const double value = *milliseconds;
  if (std::fabs(value) < 999.5) return significant(value, 3) + " ms";
  if (std::fabs(value) < 99950) return significant(value / 1000, 3) + " s";
  const auto seconds = static_cast<std::int64_t>(std::llround(value / 1000));
  return fmt::format("{} min {} s", seconds / 60, seconds % 60);
}

std::string bytes_text(std::optional<double> bytes) {
  const std::string other = special(bytes);
  if (!other.empty()) return other;
  return *bytes < 0 || *bytes > 1e18 ? significant(bytes) + " B"
                                     : human_bytes(static_cast<std::uint64_t>(*bytes));
}

std::string power_of_ten(int exponent) {
  static constexpr const char* kDigits[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
  std::string out = "10";
  if (exponent < 0) out += "⁻";
  for (const char digit : std::to_string(std::abs(exponent))) out += kDigits[digit - '0'];
  return out;
}

std::string value_text(const Json& value) {
  std::string out;
  switch (value.type()) {
    case Json::value_t::null:
      return "–";
    case Json::value_t::string:
      return value.get<std::string>();
    case Json::value_t::boolean:
      return value.get<bool>() ? "yes" : "no";
    case Json::value_t::number_float: {
      const std::string other = special(value.get<double>());
      return other.empty() ? with_minus(fmt::format("{:.6g}", value.get<double>())) : other;
    }
    case Json::value_t::array:
      for (const Json& element : value) out += (out.empty() ? "" : ", ") + value_text(element);
      return out.empty() ? "–" : out;
    case Json::value_t::object:
      for (const auto& [key, member] : value.items()) {
        out += fmt::format("{}{}: {}", out.empty() ? "" : ", ", key, value_text(member));
      }
      return out.empty() ? "–" : out;
    default:
      return value.dump();
  }
}

std::string counted(std::size_t count, const std::string& noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

}  // namespace ditq
