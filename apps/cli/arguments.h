#pragma once
// Brings a command line into one form: dashes for underscores, one value per flag, booleans spelled out, component
// overrides taken aside. Source: SGLang bridge reference 7.1.

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace ditq {

/// What follows the subcommand's name on the command line.
using Arguments = std::vector<std::string>;

enum class FlagKind { boolean, value, list };

/// What an accepted name stands for.
struct FlagForm {
  std::string name;  ///< the flag's own name, where this one is an alias
  FlagKind kind = FlagKind::value;
};

/// The flags of a subcommand, as far as the form of a command line depends on them.
struct FlagNames {
  std::string command;  ///< "generate", for advice
  std::map<std::string, FlagForm>
      forms;                     ///< by accepted name, with dashes, without the leading two
  bool component_paths = false;  ///< whether --<component>-path is accepted
  /// A sentence about an unknown flag, where the command has more to say than that; "" otherwise. May be empty.
  std::function<std::string(const std::string& flag)> explain;
};

/// A command line in one form.
struct NormalArguments {
  /// (the flag's own name, value) in the order given; booleans are "true" or "false".
  std::vector<std::pair<std::string, std::string>> values;
  std::vector<std::string> positionals;
  std::map<std::string, std::string> component_paths;  ///< component with underscores to path

  bool has(const std::string& name) const;
};

/// Errors: usage, naming the flag and the nearest known one.
NormalArguments normalise(const Arguments& arguments, const FlagNames& names);

/// The component that a flag name such as "text-encoder-path" or "component-paths.vae" overrides, or "".
std::string overridden_component(const std::string& flag);

/// Underscores become dashes, up to the '.' of component-paths.
std::string dashed(std::string name);

/// Raises usage about an unknown flag, with the nearest known name. `where` is empty or a config file.
[[noreturn]] void refuse_unknown(const std::string& flag,
                                 const FlagNames& names,
                                 const std::string& where);

/// "true" or "false" for the words true, false, yes, no, on, off, 1, 0 in any case; "" for others.
std::string boolean_word(std::string word);

}  // namespace ditq
