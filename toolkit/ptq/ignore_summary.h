#pragma once
// The ignore list of a quantization config: names of unquantized modules folded into prefixes.

#include <set>
#include <string>
#include <vector>

namespace ditq {

/// The sorted list for these modules, so that no entry is, or as a prefix pattern covers, a quantized one.
/// `unquantized` in the order of the network. Source: ModelOpt reference 6.4.
std::vector<std::string> summarize_ignore(const std::vector<std::string>& unquantized,
                                          const std::vector<std::string>& quantized);

}  // namespace ditq
