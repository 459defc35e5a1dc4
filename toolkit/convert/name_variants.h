#pragma once
// The names under which a tensor's module may be spoken of: in fallback patterns, in ignore lists, at run time.

#include <string>
#include <utility>
#include <vector>

#include "base/regex.h"
#include "family/family.h"

namespace ditq {

/// The module of a weight: the tensor's name without one trailing ".weight".
std::string module_of(const std::string& tensor);

/// Rewrites tensor names to variants. Source: bridge reference 2.5.
class NameVariants {
 public:
  /// `runtime_names`: the family's rules, empty without a runtime mapper.
  explicit NameVariants(const std::vector<NameRule>& runtime_names);

  /// All variants of the tensor's module, without repetition. The last is the preferred one, which ignore lists use.
  std::vector<std::string> of(const std::string& tensor) const;

 private:
  using Rewrite = std::pair<Regex, std::string>;

  std::vector<Rewrite> spelling_;
  std::vector<Rewrite> runtime_;
};

}  // namespace ditq
