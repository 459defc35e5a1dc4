#pragma once
// The order of a network's state dict, from a family's list of modules.

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace ditq {

/// Sorts tensor and quantizer names the way the network defines them. Within a module: weight, bias, then what
/// quantization adds. Names that the list does not know come last at their level, in natural order.
class DefinitionOrder {
 public:
  /// `patterns`: modules and parameters, '#' for a block index (QuantFacts::definition_order).
  explicit DefinitionOrder(const std::vector<std::string>& patterns);

  void sort(std::vector<std::string>& names) const;

 private:
  using Key = std::vector<std::size_t>;
  Key key_of(std::string_view name) const;

  std::map<std::string, std::size_t> ranks_;  ///< by prefix of a pattern: where it is seen first
};

}  // namespace ditq
