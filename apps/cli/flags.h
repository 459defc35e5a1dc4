#pragma once
// Declares a subcommand's flags, parses them, prints their help. CLI11 converts and checks; what SGLang's command line
// does beyond it (arguments.h, config_file.h) and the help page are ours.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "arguments.h"

namespace ditq {

/// One declared flag, to be refined.
class Flag {
 public:
  Flag& required();
  Flag& choices(const std::vector<std::string>& words);
  /// Whole numbers only. Errors at parsing: usage.
  Flag& at_least(std::int64_t least);
  /// Another accepted name, not shown in the help.
  Flag& alias(const std::string& name);
  /// Accepted and not shown in the help.
  Flag& hidden();
  /// A path: "~" is expanded.
  Flag& path();

 private:
  friend class Flags;
  struct State;
  explicit Flag(State* state) : state_(state) {}
  State* state_;
};

/// The command line of one subcommand. Targets keep their value where the user gave none.
class Flags {
 public:
  /// `usage` follows "ditq <command>" in the help, `about` is one or more paragraphs divided by newlines.
  Flags(std::string command, std::string usage, std::string about);
  ~Flags();
  Flags(const Flags&) = delete;
  Flags& operator=(const Flags&) = delete;

  /// Flags declared from here on stand under this title.
  void group(const std::string& title);
  /// Text at the end of the help, such as examples; printed as it is.
  void epilog(std::string text);

  Flag add(const std::string& name, bool& target, const std::string& help);
  Flag add(const std::string& name,
           std::string& target,
           const std::string& word,
           const std::string& help);
  Flag add(const std::string& name,
           std::vector<std::string>& target,
           const std::string& word,
           const std::string& help);
  Flag add(const std::string& name,
           std::int64_t& target,
           const std::string& word,
           const std::string& help);
  Flag add(const std::string& name,
           std::uint64_t& target,
           const std::string& word,
           const std::string& help);
  Flag add(const std::string& name,
           double& target,
           const std::string& word,
           const std::string& help);
  Flag add(const std::string& name,
           std::optional<std::int64_t>& target,
           const std::string& word,
           const std::string& help);
  Flag add(const std::string& name,
           std::optional<double>& target,
           const std::string& word,
           const std::string& help);
  /// The argument without a flag.
  Flag positional(const std::string& word, std::string& target, const std::string& help);
  /// Any number of arguments without a flag; at most once, and not beside the other form.
  Flag positionals(const std::string& word,
                   std::vector<std::string>& target,
                   const std::string& help);
  /// What to say about unknown flags (FlagNames::explain).
  void explain_unknown(std::function<std::string(const std::string& flag)> explain);
  /// Accepts --<component>-path DIR and its other spellings into `target`, and shows a row of the help about it.
  void component_paths(std::map<std::string, std::string>& target, const std::string& help);

  /// Parses and sets the targets and log_settings(). False when --help was asked for and printed: nothing else is to
  /// be done then. Errors: usage; as read_config_file.
  bool parse(const Arguments& arguments);

  /// Whether a flag of this name is declared.
  bool knows(const std::string& name) const;
  /// Whether the command line or the config file gave this flag.
  bool given(const std::string& name) const;
  /// All flags that were given, positionals left out.
  std::vector<std::string> given() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ditq
