#include "arguments.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "nearest_name.h"

namespace ditq {
namespace {

std::string help_advice(const FlagNames& names) {
  return "See 'ditq " + names.command + " --help'";
}

std::string lower_case(std::string word) {
  std::transform(word.begin(), word.end(), word.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return word;
}

/// Whether a word begins the next flag rather than being a value: "-1", "-.5", "-" and "- a cat" are values.
bool looks_like_flag(const std::string& word) {
  if (word.size() < 2 || word[0] != '-') return false;
  const bool number = std::isdigit(static_cast<unsigned char>(word[1])) != 0 || word[1] == '.';
  return !number && word.substr(0, word.find('=')).find(' ') == std::string::npos;
}

/// A flag as typed: name with dashes, and what stood behind '='.
struct TypedFlag {
  std::string name;
  std::optional<std::string> value;
};

TypedFlag split(const std::string& word) {
  const std::size_t equals = word.find('=');
  TypedFlag flag{.name = dashed(word.substr(2, equals == std::string::npos ? equals : equals - 2))};
  if (equals != std::string::npos) flag.value = word.substr(equals + 1);
  return flag;
}

/// Walks over the words once.
class Reader {
 public:
  Reader(const Arguments& words, const FlagNames& names) : words_(words), names_(names) {}

  NormalArguments read() {
    while (next_ < words_.size()) read_word(words_[next_++]);
    return std::move(result_);
  }

 private:
  void read_word(const std::string& word) {
    if (only_positionals_ || !looks_like_flag(word)) {
      result_.positionals.push_back(word);
    } else if (word == "--") {
      only_positionals_ = true;
    } else if (word == "-h" || word == "-q" || word == "-v") {
      const std::string name = word == "-h" ? "help" : word == "-q" ? "quiet" : "verbose";
      result_.values.emplace_back(name, "true");
    } else if (word[1] != '-') {
      throw Error(ErrorCode::usage, "unknown flag " + word, {.advice = help_advice(names_)});
    } else {
      read_flag(split(word));
    }
  }

  void read_flag(const TypedFlag& flag) {
    if (const auto known = names_.forms.find(flag.name); known != names_.forms.end()) {
      if (known->second.kind == FlagKind::boolean)
        return read_boolean(flag, known->second.name, "true");
      result_.values.emplace_back(known->second.name, value_of(flag));
      return;
    }
    if (flag.name.starts_with("no-")) {
      const auto positive = names_.forms.find(flag.name.substr(3));
      if (positive != names_.forms.end() && positive->second.kind == FlagKind::boolean) {
        return read_boolean(flag, positive->second.name, "false");
      }
    }
    const std::string component =
        names_.component_paths ? overridden_component(flag.name) : std::string();
    // "--modle-path" is a slip, not a component.
    const bool slip = std::any_of(names_.forms.begin(), names_.forms.end(), [&](const auto& form) {
      return edit_distance(form.first, flag.name) <= 1;
    });
    if (component.empty() || slip) refuse_unknown(flag.name, names_, "");
    result_.component_paths[component] = expand_user(value_of(flag));
  }

  /// `bare` is what the flag means without a word behind it; "false" turns it round.
  void read_boolean(const TypedFlag& flag, const std::string& name, const std::string& bare) {
    std::string word = "true";
    if (flag.value) {
      word = boolean_word(*flag.value);
      if (word.empty()) {
        throw Error(ErrorCode::usage, "--" + flag.name + " is true or false",
                    {.found = "'" + *flag.value + "'", .advice = help_advice(names_)});
      }
    } else if (next_ < words_.size()) {
      // Apart from the flag only the two words that SGLang takes; "1" or "on" may be a path.
      const std::string next = lower_case(words_[next_]);
      if (next == "true" || next == "false") {
        word = next;
        ++next_;
      }
    }
    result_.values.emplace_back(name, word == bare ? "true" : "false");
  }

  std::string value_of(const TypedFlag& flag) {
    if (flag.value) return *flag.value;
    if (next_ < words_.size() && !looks_like_flag(words_[next_])) return words_[next_++];
    ErrorFacts facts{.advice = help_advice(names_)};
    if (next_ < words_.size()) {
      facts.advice = "A value that starts with '-' is written --" + flag.name + "=" + words_[next_];
    }
    throw Error(ErrorCode::usage, "--" + flag.name + " needs a value", std::move(facts));
  }

  const Arguments& words_;
  const FlagNames& names_;
  std::size_t next_ = 0;
  bool only_positionals_ = false;
  NormalArguments result_;
};

}  // namespace

NormalArguments normalise(const Arguments& arguments, const FlagNames& names) {
  return Reader(arguments, names).read();
}

bool NormalArguments::has(const std::string& name) const {
  return std::any_of(values.begin(), values.end(),
                     [&](const auto& value) { return value.first == name; });
}

std::string dashed(std::string name) {
  const auto end = name.find('.') == std::string::npos
                       ? name.end()
                       : name.begin() + static_cast<std::ptrdiff_t>(name.find('.'));
  std::replace(name.begin(), end, '_', '-');
  return name;
}

std::string overridden_component(const std::string& flag) {
  constexpr std::string_view kPrefix = "component-paths.";
  constexpr std::string_view kSuffix = "-path";
  std::string component;
  if (flag.starts_with(kPrefix))
    component = flag.substr(kPrefix.size());
  else if (flag.ends_with(kSuffix))
    component = flag.substr(0, flag.size() - kSuffix.size());
  std::replace(component.begin(), component.end(), '-', '_');
  return component;
}

void refuse_unknown(const std::string& flag, const FlagNames& names, const std::string& where) {
  if (const std::string why = names.explain ? names.explain(flag) : ""; !why.empty()) {
    throw Error(ErrorCode::usage, why, {.path = where, .advice = help_advice(names)});
  }
  std::vector<std::string> known;
  for (const auto& [name, form] : names.forms) known.push_back(name);
  std::string near = nearest_name(flag, known);
  if (near.empty() && flag.starts_with("no-")) {
    near = nearest_name(flag.substr(3), known);
    if (!near.empty()) near = "no-" + near;
  }
  std::string advice = near.empty() ? "" : "Did you mean --" + near + "? ";
  throw Error(ErrorCode::usage, "unknown flag --" + flag,
              {.path = where, .advice = advice + help_advice(names)});
}

std::string boolean_word(std::string word) {
  word = lower_case(std::move(word));
  for (const std::string_view yes : {"true", "yes", "on", "1"}) {
    if (word == yes) return "true";
  }
  for (const std::string_view no : {"false", "no", "off", "0"}) {
    if (word == no) return "false";
  }
  return {};
}

}  // namespace ditq
