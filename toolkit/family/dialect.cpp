#include "family/dialect.h"

#include <algorithm>
#include <utility>

namespace ditq {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// A module with its first numeric part, the block's index, taken out.
struct FoldedModule {
  std::string pattern;
  std::string index;
};

FoldedModule fold(const std::string& module) {
  for (std::size_t begin = 0; begin < module.size();) {
    const std::size_t end = std::min(module.find('.', begin), module.size());
    const std::string part = module.substr(begin, end - begin);
    if (!part.empty() && std::all_of(part.begin(), part.end(), is_digit)) {
      return {module.substr(0, begin) + "#" + module.substr(end), part};
    }
    begin = end + 1;
  }
  return {module, ""};
}

std::string filled(const std::string& pattern, const std::string& index) {
  const std::size_t mark = pattern.find('#');
  return mark == std::string::npos ? pattern
                                   : pattern.substr(0, mark) + index + pattern.substr(mark + 1);
}

/// Spellings of other dialects: BFL's norms, and the scaled FP8 files that came before ModelOpt's names.
std::string modelopt_spelling(const std::string& parameter) {
  static const std::map<std::string, std::string> kSpellings = {
      {"scale", "weight"}, {"scale_weight", "weight_scale"}, {"scale_input", "input_scale"}};
  const auto found = kSpellings.find(parameter);
  return found == kSpellings.end() ? parameter : found->second;
}

}  // namespace

std::string TensorName::joined() const {
  return module.empty() ? parameter : module + "." + parameter;
}

TensorName split_tensor_name(const std::string& name) {
  const std::size_t dot = name.rfind('.');
  if (dot == std::string::npos) return {"", name};
  return {name.substr(0, dot), name.substr(dot + 1)};
}

DialectNames::DialectNames(const DialectMark* mark) : mark_(mark) {
  if (mark_ == nullptr) return;
  for (const DialectRule& rule : mark_->rules) rules_.emplace(rule.module, &rule);
}

std::optional<DialectPlace> DialectNames::place(const std::string& tensor) const {
  if (mark_ == nullptr) {
    const TensorName name = split_tensor_name(tensor);
    return DialectPlace{.parts = {{name.module}}, .parameter = name.parameter};
  }
  if (!tensor.starts_with(mark_->prefix)) return std::nullopt;
  TensorName name = split_tensor_name(tensor.substr(mark_->prefix.size()));
  if (mark_->dialect != "diffusers") name.parameter = modelopt_spelling(name.parameter);
  FoldedModule folded{name.module, ""};
  auto rule = rules_.find(name.module);
  if (rule == rules_.end()) {
    folded = fold(name.module);
    rule = rules_.find(folded.pattern);
  }
  if (rule == rules_.end()) return DialectPlace{{{name.module}}, name.parameter};
  DialectPlace place{.parts = rule->second->parts,
                     .parameter = name.parameter,
                     .swap_halves = rule->second->swap_halves};
  for (DialectPart& part : place.parts) part.module = filled(part.module, folded.index);
  return place;
}

std::vector<std::string> DialectNames::modules(const std::string& module) const {
  const bool prefixed = mark_ == nullptr || module.starts_with(mark_->prefix);
  const auto found = place((prefixed ? "" : mark_->prefix) + module + ".weight");
  std::vector<std::string> names;
  for (const DialectPart& part : found->parts) names.push_back(part.module);
  return names;
}

}  // namespace ditq
