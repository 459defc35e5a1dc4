#pragma once
// Names of another dialect in the diffusers dialect, by a family's rules.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "family/family.h"

namespace ditq {

/// A tensor's name in two parts, cut at the last dot.
struct TensorName {
  std::string module;     ///< empty for a name without a dot
  std::string parameter;  ///< "weight", "bias", "weight_scale", …

  /// "module.parameter", or the parameter alone.
  std::string joined() const;
};

/// Cuts a name.
TensorName split_tensor_name(const std::string& name);

/// Where a stored tensor belongs.
struct DialectPlace {
  std::vector<DialectPart> parts;  ///< modules in the diffusers dialect, block indices filled in
  std::string parameter;           ///< in ModelOpt's spelling: "scale" of a norm is "weight"
  bool swap_halves = false;
};

/// Translates names of one dialect.
class DialectNames {
 public:
  /// nullptr: names stay as they are.
  explicit DialectNames(const DialectMark* mark);

  /// The place of a stored tensor; nothing for a tensor of another network (without the dialect's prefix).
  std::optional<DialectPlace> place(const std::string& tensor) const;

  /// The modules that a stored module's rows go to, itself where no rule names it; the dialect's prefix may be missing,
  /// as it is in some ignore lists.
  std::vector<std::string> modules(const std::string& module) const;

 private:
  const DialectMark* mark_;
  std::map<std::string, const DialectRule*> rules_;  ///< by stored module, with '#'
};

}  // namespace ditq
