#include "convert/name_variants.h"

#include <algorithm>
#include <string_view>

namespace ditq {
namespace {

constexpr std::string_view kWeight = ".weight";
/// A merged LTX-2 file and ModelOpt name the transformer differently.
constexpr std::string_view kPrefixes[] = {"model.diffusion_model.", "velocity_model."};

}  // namespace

std::string module_of(const std::string& tensor) {
  return tensor.ends_with(kWeight) ? tensor.substr(0, tensor.size() - kWeight.size()) : tensor;
}

NameVariants::NameVariants(const std::vector<NameRule>& runtime_names) {
  spelling_.emplace_back(Regex(R"((\.audio_ff|\.ff)\.net\.0\.proj$)"), R"(\1.proj_in)");
  spelling_.emplace_back(Regex(R"((\.audio_ff|\.ff)\.net\.2$)"), R"(\1.proj_out)");
  spelling_.emplace_back(Regex(R"((\.(img_mod|txt_mod))\.1$)"), R"(\1)");
  for (const NameRule& rule : runtime_names) {
    runtime_.emplace_back(Regex(rule.pattern), rule.replacement);
  }
}

std::vector<std::string> NameVariants::of(const std::string& tensor) const {
  std::vector<std::string> names = {module_of(tensor)};
  // Repetitions are left out at once; that keeps the order of first occurrences.
  const auto add = [&names](std::string name) {
    if (std::find(names.begin(), names.end(), name) == names.end())
      names.push_back(std::move(name));
  };
  const std::string module = names.front();
  for (const std::string_view prefix : kPrefixes) {
    if (module.starts_with(prefix)) add(module.substr(prefix.size()));
  }
  const auto rewrite_all = [&](const std::vector<Rewrite>& rewrites) {
    const std::vector<std::string> before = names;
    for (const std::string& name : before) {
      for (const auto& [pattern, replacement] : rewrites) {
        if (pattern.search(name)) add(pattern.replace(name, replacement));
      }
    }
  };
  rewrite_all(spelling_);
  rewrite_all(runtime_);
  return names;
}

}  // namespace ditq
