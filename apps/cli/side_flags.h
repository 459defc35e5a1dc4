#pragma once
// The flags of two sides that may differ in checkpoints and in nothing else.

#include <map>
#include <string>
#include <vector>

#include "flags.h"
#include "pipeline/engine.h"

namespace ditq {

/// --reference-… and --candidate-…: a component's folder, or its weights.
class SideFlags {
 public:
  /// Declares them, and has every other --reference-X and --candidate-X refused by name (exit code 2), also in a config
  /// file. `shared` is what Flags::component_paths fills. All must outlive this.
  SideFlags(Flags& flags, std::map<std::string, std::string>& shared);

  /// To be called after parsing: takes the sides' components out of `shared`, puts them over what is left of it, and
  /// resolves all paths. Errors: usage (a component that is none, a malformed component=path); as resolve_sources.
  void finish(const PipelineSources& base);

  const PipelineSources& reference() const { return reference_.sources; }
  const PipelineSources& candidate() const { return candidate_.sources; }
  /// Components whose checkpoints differ between the sides; empty where both are the same.
  std::vector<std::string> differing() const;
  /// Whether any flag of either side was given. After parsing, before finish.
  bool are_given() const;

 private:
  struct Side {
    std::string name;
    std::vector<std::string> components;  ///< component=path, as typed
    std::string weights_path;
    PipelineSources sources;
  };

  void declare(Side& side);
  void take_components(Side& side);
  void finish_side(Side& side, const PipelineSources& base);
  std::string why_refused(const std::string& flag) const;
  std::string refusal(const std::string& side, const std::string& rest) const;

  Flags& flags_;
  std::map<std::string, std::string>& shared_;
  Side reference_;
  Side candidate_;
};

}  // namespace ditq
