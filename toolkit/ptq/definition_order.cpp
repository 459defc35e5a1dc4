#include "ptq/definition_order.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <utility>

namespace ditq {
namespace {

constexpr std::size_t kUnknown = std::numeric_limits<std::size_t>::max() / 2;

/// Own parameters of a module stand before its children, quantizers behind all of them. Source: the order in which
/// PyTorch's Module.state_dict walks and ModelOpt adds buffers and children.
constexpr std::array<std::string_view, 17> kMembers = {"weight",
                                                       "bias",
                                                       "weight_scale",
                                                       "weight_scale_2",
                                                       "input_scale",
                                                       "pre_quant_scale",
                                                       "svdquant_lora_a",
                                                       "svdquant_lora_b",
                                                       "input_quantizer",
                                                       "output_quantizer",
                                                       "weight_quantizer",
                                                       "q_bmm_quantizer",
                                                       "k_bmm_quantizer",
                                                       "v_bmm_quantizer",
                                                       "softmax_quantizer",
                                                       "p_bmm_quantizer",
                                                       "bmm2_output_quantizer"};
constexpr std::size_t kOwnMembers = 8;  ///< of kMembers: those in front of children

/// Buffers of a quantizer, as ModelOpt registers them.
constexpr std::array<std::string_view, 4> kBuffers = {"_pre_quant_scale", "_svdquant_lora_a",
                                                      "_svdquant_lora_b", "_amax"};

std::optional<std::size_t> number(std::string_view part) {
  std::size_t value = 0;
  const auto [end, status] = std::from_chars(part.data(), part.data() + part.size(), value);
  if (status != std::errc() || end != part.data() + part.size()) return std::nullopt;
  return std::min(value, kUnknown - 1);
}

template <std::size_t N>
std::optional<std::size_t> place_in(const std::array<std::string_view, N>& list,
                                    std::string_view part) {
  const auto found = std::find(list.begin(), list.end(), part);
  if (found == list.end()) return std::nullopt;
  return static_cast<std::size_t>(found - list.begin());
}

/// The rank of a name that no pattern has: own members, then known children (ranks from kMembers.size() on), numbers,
/// quantizers, others.
std::size_t rank_of_member(std::string_view part) {
  if (const auto own = place_in(kMembers, part)) {
    return *own < kOwnMembers ? *own : kUnknown + 1 + *own;
  }
  if (const auto buffer = place_in(kBuffers, part)) return *buffer;
  if (const auto index = number(part)) return kMembers.size() + *index;
  return kUnknown;
}

}  // namespace

DefinitionOrder::DefinitionOrder(const std::vector<std::string>& patterns) {
  for (std::size_t i = 0; i < patterns.size(); ++i) {
    const std::string& pattern = patterns[i];
    for (std::size_t dot = pattern.find('.'); dot != std::string::npos;
         dot = pattern.find('.', dot + 1)) {
      ranks_.emplace(pattern.substr(0, dot), kMembers.size() + i);
    }
    ranks_.emplace(pattern, kMembers.size() + i);
  }
}

DefinitionOrder::Key DefinitionOrder::key_of(std::string_view name) const {
  Key key;
  std::string prefix;
  while (!name.empty()) {
    const std::size_t dot = std::min(name.find('.'), name.size());
    const std::string_view part = name.substr(0, dot);
    name.remove_prefix(std::min(dot + 1, name.size()));
    const std::string parent = prefix.empty() ? prefix : prefix + ".";
    prefix = parent + std::string(part);
    const auto known = ranks_.find(prefix);
    const auto index = number(part);
    if (known != ranks_.end()) {
      key.push_back(known->second);
    } else if (index && ranks_.contains(parent + "#")) {
      prefix = parent + "#";
      key.push_back(*index);
    } else {
      key.push_back(rank_of_member(part));
    }
  }
  return key;
}

void DefinitionOrder::sort(std::vector<std::string>& names) const {
  std::vector<std::pair<Key, std::string>> keyed;
  keyed.reserve(names.size());
  for (std::string& name : names) {
    Key key = key_of(name);
    keyed.emplace_back(std::move(key), std::move(name));
  }
  std::sort(keyed.begin(), keyed.end());
  for (std::size_t i = 0; i < names.size(); ++i) names[i] = std::move(keyed[i].second);
}

}  // namespace ditq
