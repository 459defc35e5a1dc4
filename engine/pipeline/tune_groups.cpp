#include "pipeline/tune_groups.h"

#include <algorithm>
#include <cctype>

#include "base/error.h"

namespace ditq {
namespace {

bool is_number(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return std::isdigit(static_cast<unsigned char>(c)) != 0;
  });
}

/// Begin and end of the first part of a dotted name that is a number; both the name's size where none is.
std::pair<std::size_t, std::size_t> first_number(const std::string& module) {
  for (std::size_t begin = 0; begin <= module.size();) {
    const std::size_t end = std::min(module.find('.', begin), module.size());
    if (is_number(module.substr(begin, end - begin))) return {begin, end};
    begin = end + 1;
  }
  return {module.size(), module.size()};
}

std::string block_of_module(const std::string& module) {
  return module.substr(0, first_number(module).second);
}

/// Literal text as a regular expression. Module names hold letters, digits, '_', '-' and dots.
std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '_') out += '\\';
    out += c;
  }
  return out;
}

std::string kind_pattern(const std::string& kind) {
  const std::size_t at = kind.find('#');
  if (at == std::string::npos) return "^" + escaped(kind) + "$";
  return "^" + escaped(kind.substr(0, at)) + R"(\d+)" + escaped(kind.substr(at + 1)) + "$";
}

}  // namespace

Grouping parse_grouping(const std::string& text, std::size_t layers) {
  if (text == "layer") return Grouping::layer;
  if (text == "kind") return Grouping::kind;
  if (text == "block") return Grouping::block;
  if (text == "auto") return layers <= kMostLayerGroups ? Grouping::layer : Grouping::kind;
  throw Error(ErrorCode::usage, "unknown --group-by",
              {.expected = "auto, layer, kind or block", .found = "'" + text + "'"});
}

std::string kind_of_module(const std::string& module) {
  const auto [begin, end] = first_number(module);
  if (begin == module.size()) return module;
  return module.substr(0, begin) + "#" + module.substr(end);
}

std::vector<TuneGroup> make_groups(const LayerCosts& layers, Grouping grouping) {
  std::vector<TuneGroup> groups;
  std::map<std::string, std::size_t> places;
  for (const auto& [module, cost] : layers) {
    const std::string name = grouping == Grouping::layer  ? module
                             : grouping == Grouping::kind ? kind_of_module(module)
                                                          : block_of_module(module);
    const auto [place, is_new] = places.emplace(name, groups.size());
    if (is_new) groups.push_back({.name = name, .modules = {}, .cost = {}});
    TuneGroup& group = groups[place->second];
    group.modules.push_back(module);
    group.cost.bytes += cost.bytes;
    group.cost.milliseconds += cost.milliseconds;
  }
  return groups;
}

std::vector<std::string> patterns_of(const std::set<std::string>& kept, const LayerCosts& all) {
  std::map<std::string, std::vector<std::string>> kinds;
  for (const auto& [module, cost] : all) kinds[kind_of_module(module)].push_back(module);
  std::vector<std::string> patterns;
  for (const auto& [kind, modules] : kinds) {
    const auto is_kept = [&](const std::string& module) { return kept.contains(module); };
    if (std::all_of(modules.begin(), modules.end(), is_kept)) {
      patterns.push_back(kind_pattern(kind));
      continue;
    }
    for (const std::string& module : modules) {
      if (is_kept(module)) patterns.push_back("^" + escaped(module) + "$");
    }
  }
  return patterns;
}

}  // namespace ditq
