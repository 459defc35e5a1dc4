#include "flags.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "config_file.h"
#include "help_page.h"
#include "nearest_name.h"

namespace ditq {

struct Flag::State {
  std::string name;  ///< without dashes; the word of a positional
  std::string word;  ///< placeholder of the value; empty for booleans
  std::string help;
  std::string group;
  FlagKind kind = FlagKind::value;
  bool is_positional = false;
  bool is_repeated = false;  ///< a positional that takes all words
  bool is_form = false;      ///< a row of the help that stands for many flags
  bool is_shown = true;
  std::vector<std::string> aliases;
  CLI::Option* option = nullptr;
};

struct Flags::Impl {
  std::string command;
  std::string usage;
  std::string about;
  std::string group = "Flags";
  std::string epilog;
  CLI::App app;
  std::vector<std::unique_ptr<Flag::State>> flags;
  std::map<std::string, std::string>* component_paths = nullptr;
  std::function<std::string(const std::string&)> explain;
  std::set<std::string> given;        ///< by command line or config file
  std::set<std::string> from_config;  ///< by config file
  std::string config;
  LogSettings log{.progress = true};
  bool color = true;
  bool help = false;
  bool list_flags = false;

  Flag::State* declare(const std::string& name,
                       const std::string& word,
                       const std::string& help_text);
  /// Declares a flag with one value; `check` returns a message for text that does not convert.
  template <typename Target>
  Flag::State* declare_value(const std::string& name,
                             Target& target,
                             const std::string& word,
                             const std::string& help_text,
                             std::string (*check)(const std::string&) = nullptr);
  void declare_common(Flags& flags);
  FlagNames names() const;
  NormalArguments merge_config(NormalArguments arguments);
  std::vector<std::string> tokens(const NormalArguments& arguments) const;
  void run_parser(std::vector<std::string> tokens);
  void check_positionals(const NormalArguments& arguments) const;
  HelpPage help_page() const;
  [[noreturn]] void refuse(const std::string& message, const std::string& path = "") const;
};

namespace {

/// A message unless the whole text is a whole number that Number holds.
template <typename Number>
std::string check_integer(const std::string& text) {
  Number value{};
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value);
  if (error == std::errc::result_out_of_range) return text + " is out of range";
  if (error == std::errc() && end == last) return {};
  const bool negative = std::is_unsigned_v<Number> && check_integer<std::int64_t>(text).empty();
  return fmt::format("'{}' is {}", text, negative ? "negative" : "no whole number");
}

std::string check_real(const std::string& text) {
  double value = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value);
  if (error == std::errc() && end == last && std::isfinite(value)) return {};
  return fmt::format("'{}' is no finite number", text);
}

}  // namespace

Flag& Flag::required() {
  state_->option->required();
  return *this;
}

Flag& Flag::choices(const std::vector<std::string>& words) {
  state_->option->check([words](const std::string& text) -> std::string {
    if (std::find(words.begin(), words.end(), text) != words.end()) return {};
    return fmt::format("'{}' is not one of {}", text, fmt::join(words, ", "));
  });
  return *this;
}

Flag& Flag::at_least(std::int64_t least) {
  state_->option->check([least](const std::string& text) -> std::string {
    std::int64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value >= least ? std::string()
                          : fmt::format("at least {} is needed, not {}", least, text);
  });
  return *this;
}

Flag& Flag::alias(const std::string& name) {
  state_->aliases.push_back(name);
  return *this;
}

Flag& Flag::hidden() {
  state_->is_shown = false;
  return *this;
}

Flag& Flag::path() {
  state_->option->transform([](const std::string& text) { return expand_user(text); });
  return *this;
}

Flags::Flags(std::string command, std::string usage, std::string about)
    : impl_(std::make_unique<Impl>()) {
  impl_->command = std::move(command);
  impl_->usage = std::move(usage);
  impl_->about = std::move(about);
  impl_->app.set_help_flag();
}

Flags::~Flags() = default;

void Flags::group(const std::string& title) {
  impl_->group = title;
}

void Flags::epilog(std::string text) {
  impl_->epilog = std::move(text);
}

Flag::State* Flags::Impl::declare(const std::string& name,
                                  const std::string& word,
                                  const std::string& help_text) {
  flags.push_back(std::make_unique<Flag::State>());
  Flag::State* state = flags.back().get();
  state->name = name;
  state->word = word;
  state->help = help_text;
  state->group = group;
  return state;
}

template <typename Target>
Flag::State* Flags::Impl::declare_value(const std::string& name,
                                        Target& target,
                                        const std::string& word,
                                        const std::string& help_text,
                                        std::string (*check)(const std::string&)) {
  Flag::State* state = declare(name, word, help_text);
  state->option = app.add_option("--" + name, target)->take_last();
  if (check != nullptr) state->option->check(check);
  return state;
}

Flag Flags::add(const std::string& name, bool& target, const std::string& help) {
  Flag::State* state = impl_->declare(name, "", help);
  state->kind = FlagKind::boolean;
  state->option = impl_->app.add_flag("--" + name, target)->take_last();
  return Flag(state);
}

Flag Flags::add(const std::string& name,
                std::vector<std::string>& target,
                const std::string& word,
                const std::string& help) {
  Flag::State* state = impl_->declare(name, word, help);
  state->kind = FlagKind::list;
  state->option = impl_->app.add_option("--" + name, target)->allow_extra_args(false);
  return Flag(state);
}

Flag Flags::add(const std::string& name,
                std::string& target,
                const std::string& word,
                const std::string& help) {
  return Flag(impl_->declare_value(name, target, word, help));
}

Flag Flags::add(const std::string& name,
                std::int64_t& target,
                const std::string& word,
                const std::string& help) {
  return Flag(impl_->declare_value(name, target, word, help, check_integer<std::int64_t>));
}

Flag Flags::add(const std::string& name,
                std::uint64_t& target,
                const std::string& word,
                const std::string& help) {
  return Flag(impl_->declare_value(name, target, word, help, check_integer<std::uint64_t>));
}

Flag Flags::add(const std::string& name,
                double& target,
                const std::string& word,
                const std::string& help) {
  return Flag(impl_->declare_value(name, target, word, help, check_real));
}

Flag Flags::add(const std::string& name,
                std::optional<std::int64_t>& target,
                const std::string& word,
                const std::string& help) {
  return Flag(impl_->declare_value(name, target, word, help, check_integer<std::int64_t>));
}

Flag Flags::add(const std::string& name,
                std::optional<double>& target,
                const std::string& word,
                const std::string& help) {
  return Flag(impl_->declare_value(name, target, word, help, check_real));
}

Flag Flags::positional(const std::string& word, std::string& target, const std::string& help) {
  Flag::State* state = impl_->declare(word, "", help);
  state->is_positional = true;
  state->option = impl_->app.add_option(word, target);
  return Flag(state);
}

Flag Flags::positionals(const std::string& word,
                        std::vector<std::string>& target,
                        const std::string& help) {
  Flag::State* state = impl_->declare(word, "", help);
  state->is_positional = true;
  state->is_repeated = true;
  state->option = impl_->app.add_option(word, target);
  return Flag(state);
}

void Flags::explain_unknown(std::function<std::string(const std::string& flag)> explain) {
  impl_->explain = std::move(explain);
}

bool Flags::knows(const std::string& name) const {
  return impl_->names().forms.contains(name);
}

void Flags::component_paths(std::map<std::string, std::string>& target, const std::string& help) {
  impl_->component_paths = &target;
  impl_->declare("<component>-path", "DIR", help)->is_form = true;
}

bool Flags::given(const std::string& name) const {
  return impl_->given.contains(name);
}

std::vector<std::string> Flags::given() const {
  return {impl_->given.begin(), impl_->given.end()};
}

void Flags::Impl::declare_common(Flags& self) {
  self.group("Common");
  self.add("config", config, "FILE",
           "JSON or YAML with values for these flags; the command line overrides it")
      .path();
  self.add("quiet", log.quiet, "Warnings and errors only (-q)");
  self.add("verbose", log.verbose, "Say what is decided, and why (-v)");
  self.add("progress", log.progress, "Progress bars; --no-progress switches them off");
  self.add("color", color, "Colours on a terminal; --no-color or NO_COLOR switches them off");
  self.add("help", help, "This page (-h)");
  self.add("list-flags", list_flags, "Names of all flags, for shell completion").hidden();
}

FlagNames Flags::Impl::names() const {
  FlagNames out{
      .command = command, .component_paths = component_paths != nullptr, .explain = explain};
  for (const auto& flag : flags) {
    if (flag->is_positional || flag->is_form) continue;
    out.forms[flag->name] = {.name = flag->name, .kind = flag->kind};
    for (const std::string& alias : flag->aliases) out.forms[alias] = out.forms[flag->name];
  }
  return out;
}

/// Adds what the config file has and the command line has not.
NormalArguments Flags::Impl::merge_config(NormalArguments arguments) {
  for (const auto& [name, value] : arguments.values) {
    if (name == "config") config = expand_user(value);
  }
  if (config.empty()) return arguments;
  const NormalArguments more = config_arguments(config, names(), arguments);
  for (const auto& value : more.values) {
    from_config.insert(value.first);
    arguments.values.push_back(value);
  }
  arguments.component_paths.insert(more.component_paths.begin(), more.component_paths.end());
  return arguments;
}

/// The words that CLI11 gets: values stand apart, so that an empty one is a value too.
std::vector<std::string> Flags::Impl::tokens(const NormalArguments& arguments) const {
  const FlagNames known = names();
  std::vector<std::string> out;
  for (const auto& [name, value] : arguments.values) {
    if (known.forms.at(name).kind == FlagKind::boolean) {
      out.push_back("--" + name + "=" + value);
    } else {
      out.insert(out.end(), {"--" + name, value});
    }
  }
  if (!arguments.positionals.empty()) out.emplace_back("--");
  out.insert(out.end(), arguments.positionals.begin(), arguments.positionals.end());
  return out;
}

void Flags::Impl::refuse(const std::string& message, const std::string& path) const {
  throw Error(ErrorCode::usage, message,
              {.path = path, .advice = fmt::format("See 'ditq {} --help'", command)});
}

void Flags::Impl::check_positionals(const NormalArguments& arguments) const {
  const auto declared = static_cast<std::size_t>(std::count_if(
      flags.begin(), flags.end(), [](const auto& flag) { return flag->is_positional; }));
  const bool repeated =
      std::any_of(flags.begin(), flags.end(), [](const auto& flag) { return flag->is_repeated; });
  if (repeated || arguments.positionals.size() <= declared) return;
  refuse(fmt::format("unexpected argument '{}'; text with spaces needs quotes",
                     arguments.positionals[declared]));
}

void Flags::Impl::run_parser(std::vector<std::string> words) {
  std::reverse(words.begin(), words.end());  // CLI11 takes the last word first
  try {
    app.parse(std::move(words));
  } catch (const CLI::ParseError& error) {
    const std::string message = error.what();
    const std::size_t name_end = message.find_first_of(": ");
    const bool names_flag = message.starts_with("--") && name_end != std::string::npos;
    const std::string name = names_flag ? message.substr(2, name_end - 2) : std::string();
    refuse(message, from_config.contains(name) ? config : std::string());
  }
}

HelpPage Flags::Impl::help_page() const {
  HelpPage page{.usage = "ditq " + command + " " + usage, .epilog = epilog};
  for (std::size_t at = 0; at < about.size();) {
    const std::size_t end = std::min(about.find('\n', at), about.size());
    page.about.push_back(about.substr(at, end - at));
    at = end + 1;
  }
  for (const auto& flag : flags) {
    if (!flag->is_shown) continue;
    std::string left = flag->is_positional ? flag->name : "--" + flag->name;
    if (!flag->word.empty()) left += " " + flag->word;
    page.rows.push_back({.group = flag->group, .left = left, .right = flag->help});
  }
  return page;
}

bool Flags::parse(const Arguments& arguments) {
  impl_->declare_common(*this);
  const NormalArguments typed = normalise(arguments, impl_->names());
  const auto asked = [&](const char* name) {
    return std::find(typed.values.begin(), typed.values.end(),
                     std::pair<std::string, std::string>(name, "true")) != typed.values.end();
  };
  if (asked("list-flags")) {
    for (const auto& [name, form] : impl_->names().forms) write_output("--" + name + "\n");
    return false;
  }
  if (asked("help")) {
    write_output(format_help(impl_->help_page(), terminal_columns(STDOUT_FILENO), output_style()));
    return false;
  }
  const NormalArguments all = impl_->merge_config(typed);
  impl_->check_positionals(all);
  impl_->run_parser(impl_->tokens(all));
  for (const auto& value : all.values) impl_->given.insert(value.first);
  if (impl_->component_paths != nullptr) *impl_->component_paths = all.component_paths;

  LogSettings log = impl_->log;
  log.progress = log.progress && ::isatty(STDERR_FILENO) == 1;
  log.color = impl_->color && terminal_has_color(STDERR_FILENO);
  log_settings() = log;
  output_style().enabled = output_style().enabled && impl_->color;
  return true;
}

}  // namespace ditq
