#pragma once
// Decimal numbers as serde_json reads them without its feature float_roundtrip: what the tokenizers
// library is built with. The digits become a 64-bit integer, that a double, and a power of ten
// scales it; the result is often one unit in the last place off. Equal segmentations of a text are
// decided by that unit.

#include <optional>
#include <string_view>

namespace ditq {

/// The value of a JSON number, or nothing when `text` is none or does not fit a double.
/// Source: serde_json 1.0, src/de.rs (parse_integer, parse_decimal, parse_exponent,
/// f64_from_parts).
std::optional<double> parse_lossy_float(std::string_view text);

}  // namespace ditq
