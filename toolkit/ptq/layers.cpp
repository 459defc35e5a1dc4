#include "ptq/layers.h"

#include <algorithm>
#include <set>

#include "ptq/definition_order.h"

namespace ditq {
namespace {

constexpr std::string_view kWeight = ".weight";

std::int64_t integer_of(const Json& config, const char* key) {
  const auto found = config.find(key);
  if (found == config.end() || !found->is_number_integer()) return 0;
  return found->get<std::int64_t>();
}

/// The block index that makes `name` of the pattern; nothing where no index does.
bool match_block(const std::string& pattern, const std::string& name, std::string& block) {
  const std::size_t hash = pattern.find('#');
  if (hash == std::string::npos) return pattern == name;
  const std::string head = pattern.substr(0, hash);
  const std::string tail = pattern.substr(hash + 1);
  if (name.size() <= head.size() + tail.size() || !name.starts_with(head) || !name.ends_with(tail))
    return false;
  block = name.substr(head.size(), name.size() - head.size() - tail.size());
  return block.find_first_not_of("0123456789") == std::string::npos;
}

std::string with_block(std::string pattern, const std::string& block) {
  const std::size_t hash = pattern.find('#');
  return hash == std::string::npos ? pattern : pattern.replace(hash, 1, block);
}

/// The hidden modules that the weights of a network tell of.
void append_hidden(const std::vector<HiddenModule>& rows,
                   LayerKind kind,
                   const std::set<std::string>& weighted,
                   std::vector<QuantLayer>& layers) {
  for (const HiddenModule& row : rows) {
    for (const std::string& module : weighted) {
      std::string block;
      if (!match_block(row.beside, module, block)) continue;
      layers.push_back({.name = with_block(row.name, block), .kind = kind});
    }
  }
}

/// Layers in the order of their quantizers: an attention module's own come behind those of its linears.
void sort_layers(const DefinitionOrder& order, std::vector<QuantLayer>& layers) {
  std::vector<std::string> names;
  std::map<std::string, QuantLayer> by_name;
  for (QuantLayer& layer : layers) {
    const bool attention = layer.kind == LayerKind::attention;
    std::string name = layer.name + (attention ? ".q_bmm_quantizer" : ".input_quantizer");
    names.push_back(name);
    by_name.emplace(std::move(name), std::move(layer));
  }
  order.sort(names);
  layers.clear();
  for (const std::string& name : names) layers.push_back(std::move(by_name.at(name)));
}

std::int64_t count_blocks(const TensorTable& tensors) {
  std::set<std::string> blocks;
  for (const auto& [name, facts] : tensors) {
    constexpr std::string_view kPrefix = "transformer_blocks.";
    if (!name.starts_with(kPrefix)) continue;
    blocks.insert(name.substr(0, name.find('.', kPrefix.size())));
  }
  return static_cast<std::int64_t>(blocks.size());
}

}  // namespace

QuantNetwork describe_network(const TensorTable& tensors,
                              const Json& config,
                              const FamilySpec* family) {
  static const QuantFacts kNoFacts;
  const QuantFacts& facts = family == nullptr ? kNoFacts : family->quant;
  const DefinitionOrder order(facts.definition_order);
  QuantNetwork network;
  std::set<std::string> weighted;
  for (const auto& [name, tensor] : tensors) {
    network.tensors.push_back(name);
    if (!name.ends_with(kWeight)) continue;
    const std::string module = name.substr(0, name.size() - kWeight.size());
    const std::size_t rank = tensor.shape.size();
    weighted.insert(module);
    if (rank == 2) network.layers.push_back({module, LayerKind::linear, rank});
    if (rank >= 3 && rank <= 5) network.layers.push_back({module, LayerKind::conv, rank});
  }
  append_hidden(facts.norms, LayerKind::norm, weighted, network.layers);
  append_hidden(facts.attentions, LayerKind::attention, weighted, network.layers);
  order.sort(network.tensors);
  sort_layers(order, network.layers);
  network.head_size = integer_of(config, "attention_head_dim");
  network.blocks = count_blocks(tensors);
  return network;
}

}  // namespace ditq
