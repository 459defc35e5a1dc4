#pragma once
// Groups of layers that `ditq tune` keeps or quantizes together, and patterns that name sets of layers.

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace ditq {

/// What keeping one layer in full precision costs.
struct LayerCost {
  std::uint64_t bytes = 0;  ///< more than its quantized form takes
  double milliseconds =
      0;  ///< more in a whole run; negative where its quantized form is the slower one
};

/// Layers by module name.
using LayerCosts = std::map<std::string, LayerCost>;

/// Layers that are decided about together.
struct TuneGroup {
  std::string
      name;  ///< "transformer_blocks.0.attn.to_q", "transformer_blocks.#.attn.to_q" or "transformer_blocks.0"
  std::vector<std::string> modules;
  LayerCost cost;  ///< of all of them
};

/// How layers become groups.
enum class Grouping {
  layer,  ///< each alone: finest, one measurement a layer
  kind,   ///< layers of the same name in all blocks: how families' fallback patterns are written
  block,  ///< all layers of a block
};

/// "layer", "kind" or "block"; "auto" is layer up to kMostLayerGroups layers and kind above, so that measuring each group
/// alone stays a matter of minutes to hours. Errors: usage.
Grouping parse_grouping(const std::string& text, std::size_t layers);
inline constexpr std::size_t kMostLayerGroups = 128;

/// The groups of all layers, in the order of their first module's name.
std::vector<TuneGroup> make_groups(const LayerCosts& layers, Grouping grouping);

/// Module name with its first number as '#': "transformer_blocks.#.ff.net.2".
std::string kind_of_module(const std::string& module);

/// Regular expressions that match exactly the modules of `kept` and none else of `all`: one for each kind that is kept in
/// every block, one for each other module. For --keep-bf16-pattern.
std::vector<std::string> patterns_of(const std::set<std::string>& kept, const LayerCosts& all);

}  // namespace ditq
