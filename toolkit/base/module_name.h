#pragma once
// Names of a network's modules, such as "transformer_blocks.12.attn.to_q": their order and their role.

#include <string>

namespace ditq {

/// Whether `a` comes before `b` when runs of digits are compared as numbers.
bool natural_less(const std::string& a, const std::string& b);

/// A name with the block's number (the first between dots) replaced by '#': the layer's role whatever the block.
std::string folded_name(const std::string& name);

}  // namespace ditq
