#pragma once
// Numbers for people, as plain text that needs no escaping. Absent ones are "–", NaN is "NaN", infinity "∞".

#include <optional>
#include <string>

#include "base/json.h"

namespace ditq {

/// "0.99995": a fixed number of digits behind the point.
std::string fixed(std::optional<double> value, int decimals);

/// `digits` significant ones; below 0.001 and from 100000 on as "1.3×10⁻⁴".
std::string significant(std::optional<double> value, int digits = 3);

/// "2.63 %", of a ratio.
std::string percent(std::optional<double> ratio);

/// "1.42×".
std::string times(std::optional<double> ratio);

/// "38.2 dB".
std::string decibel(std::optional<double> value);

/// "842 ms", "1.59 s", "2 min 5 s", of milliseconds.
std::string duration(std::optional<double> milliseconds);

/// "18.4 MB", of bytes (powers of 1000).
std::string bytes_text(std::optional<double> bytes);

/// "10⁻³".
std::string power_of_ten(int exponent);

/// "1 run", "24 runs".
std::string counted(std::size_t count, const std::string& noun);

/// What a document holds, in one line: texts as they are, whole numbers in full, others to six digits, arrays joined by
/// ", ", objects as "key: value". Unlike the others this may hold foreign text, to be escaped.
std::string value_text(const Json& value);

}  // namespace ditq
