#include "ptq/quantizers.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.h"
#include "ptq/wildcard.h"

namespace ditq {
namespace {

std::vector<const char*> roles_of(LayerKind kind) {
  switch (kind) {
    case LayerKind::norm:
      return {"input_quantizer", "output_quantizer"};
    case LayerKind::attention:
      return {"q_bmm_quantizer", "k_bmm_quantizer", "v_bmm_quantizer", "softmax_quantizer",
              "bmm2_output_quantizer"};
    default:
      return {"input_quantizer", "output_quantizer", "weight_quantizer"};
  }
}

void apply(const std::vector<QuantizerRule>& rules, Quantizer& quantizer) {
  for (const QuantizerRule& rule : rules) {
    if (rule.layer_norms_only && quantizer.kind != LayerKind::norm) continue;
    if (!wildcard_match(rule.pattern, quantizer.name)) continue;
    if (rule.config) {
      quantizer.config = *rule.config;
      quantizer.configured = true;
    }
    quantizer.calibrated = rule.enable;
  }
}

/// Attention runs quantized on request only, and with heads of whole 16 channels; packed convolutions of rank 3 and 4
/// have no kernel.
bool stays_off(const Quantizer& quantizer, const QuantLayer& layer, bool attention_runs) {
  if (layer.kind == LayerKind::attention) return !attention_runs;
  return layer.kind == LayerKind::conv && layer.rank <= 4 &&
         quantizer.config.element == Element::nvfp4;
}

}  // namespace

QuantizerSet::QuantizerSet(const QuantNetwork& network,
                           const std::vector<QuantizerRule>& rules,
                           const QuantizerFilter& filter,
                           bool quantize_mha) {
  const bool attention_runs = quantize_mha && network.head_size % 16 == 0;
  for (const QuantLayer& layer : network.layers) {
    for (const char* role : roles_of(layer.kind)) {
      Quantizer quantizer{
          .name = layer.name + "." + role, .layer = layer.name, .kind = layer.kind, .config = {}};
      apply(rules, quantizer);
      quantizer.enabled = quantizer.calibrated && !filter.disables(quantizer.name) &&
                          !stays_off(quantizer, layer, attention_runs);
      by_name_.emplace(quantizer.name, quantizers_.size());
      quantizers_.push_back(std::move(quantizer));
    }
  }
}

void QuantizerSet::take_recorded(const std::map<std::string, RecordedQuantizer>& recorded,
                                 const std::string& path) {
  for (Quantizer& quantizer : quantizers_) quantizer.enabled = false;
  for (const auto& [name, record] : recorded) {
    const auto found = by_name_.find(name);
    if (found == by_name_.end() && !record.enabled) continue;
    if (found == by_name_.end()) {
      throw Error(ErrorCode::family_mismatch,
                  "the checkpoint has a quantizer whose layer the model lacks",
                  {.path = path, .tensor = name});
    }
    Quantizer& quantizer = quantizers_[found->second];
    quantizer.config = record.config;
    quantizer.enabled = record.enabled;
  }
}

const Quantizer* QuantizerSet::find(const std::string& layer, std::string_view role) const {
  const auto found = by_name_.find(fmt::format("{}.{}", layer, role));
  return found == by_name_.end() ? nullptr : &quantizers_[found->second];
}

bool QuantizerSet::any_enabled(std::string_view role) const {
  return std::any_of(quantizers_.begin(), quantizers_.end(), [role](const Quantizer& quantizer) {
    return quantizer.enabled && quantizer.name.ends_with(role);
  });
}

}  // namespace ditq
