#pragma once
// "Did you mean": the known name that somebody most likely wanted to type.

#include <string>
#include <string_view>
#include <vector>

namespace ditq {

/// The nearest of `names` by edit distance (a transposition counts once), or one that contains `typed` as whole words
/// ("steps": "num-inference-steps"); empty when none is near.
std::string nearest_name(std::string_view typed, const std::vector<std::string>& names);

/// Letters to insert, drop, replace or swap with a neighbour to turn one text into the other.
std::size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace ditq
