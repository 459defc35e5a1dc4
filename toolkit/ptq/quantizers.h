#pragma once
// The quantizers of a network under a recipe: what ModelOpt inserts, which ones its rules switch on, and which ones are
// on in the end.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "ptq/layers.h"
#include "ptq/presets.h"

namespace ditq {

/// One quantizer.
struct Quantizer {
  std::string name;   ///< path: "transformer_blocks.0.attn.to_q.weight_quantizer"
  std::string layer;  ///< its module
  LayerKind kind = LayerKind::linear;
  QuantizerConfig config;
  bool configured = false;  ///< some rule gave it a config
  bool calibrated = false;  ///< on while the model was calibrated
  bool enabled = false;     ///< on in the result
};

/// What a checkpoint records about one quantizer.
struct RecordedQuantizer {
  QuantizerConfig config;
  bool enabled = false;
};

/// All quantizers of a network, in ModelOpt's order.
class QuantizerSet {
 public:
  /// Applies rules, then the filter, then what is left of attention. Source: ModelOpt reference 2.1, 2.3, 2.4.
  QuantizerSet(const QuantNetwork& network,
               const std::vector<QuantizerRule>& rules,
               const QuantizerFilter& filter,
               bool quantize_mha);

  /// Takes flags and configs from a checkpoint instead: nothing is judged anew.
  /// Errors: family_mismatch (a quantizer of the checkpoint that the network has not).
  void take_recorded(const std::map<std::string, RecordedQuantizer>& recorded,
                     const std::string& path);

  const std::vector<Quantizer>& all() const { return quantizers_; }
  /// The quantizer of a module, such as ("proj_out", "weight_quantizer"), or nullptr.
  const Quantizer* find(const std::string& layer, std::string_view role) const;
  /// Whether some quantizer of the role is on.
  bool any_enabled(std::string_view role) const;

 private:
  std::vector<Quantizer> quantizers_;
  std::map<std::string, std::size_t> by_name_;
};

}  // namespace ditq
