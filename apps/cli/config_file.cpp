#include "config_file.h"

#include <optional>

#include <yaml-cpp/yaml.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

namespace ditq {
namespace {

/// Far more than a config of flags needs; bounds what YAML's aliases can blow up.
constexpr std::uint64_t kMaxConfigBytes = std::uint64_t{1} << 20;

[[noreturn]] void refuse_value(const std::string& key, const std::string& path) {
  throw Error(ErrorCode::json_type,
              "config: the value of '" + key + "' is nothing that a flag takes",
              {.path = path, .expected = "text, a number, true, false, or a list of these"});
}

/// A scalar as the text that the command line would hold; nothing for null.
std::optional<std::string> scalar_text(const Json& value) {
  if (value.is_null()) return std::nullopt;
  return value.is_string() ? value.get<std::string>() : dump_json(value);
}

std::optional<std::string> scalar_text(const YAML::Node& value) {
  if (value.IsNull()) return std::nullopt;
  return value.Scalar();
}

bool is_scalar(const Json& value) {
  return !value.is_structured();
}
bool is_scalar(const YAML::Node& value) {
  return value.IsScalar() || value.IsNull();
}
bool is_list(const Json& value) {
  return value.is_array();
}
bool is_list(const YAML::Node& value) {
  return value.IsSequence();
}

std::vector<std::pair<std::string, Json>> members(const Json& map) {
  std::vector<std::pair<std::string, Json>> out;
  for (const auto& [key, value] : map.items()) out.emplace_back(key, value);
  return out;
}

std::vector<std::pair<std::string, YAML::Node>> members(const YAML::Node& map) {
  std::vector<std::pair<std::string, YAML::Node>> out;
  for (const auto& member : map) out.emplace_back(member.first.Scalar(), member.second);
  return out;
}

/// The same walk for both kinds of document.
template <typename Node>
ConfigEntry read_entry(const std::string& key, const Node& value, const std::string& path) {
  ConfigEntry entry{.key = key};
  if (is_scalar(value)) {
    if (const auto text = scalar_text(value)) entry.values.push_back(*text);
  } else if (is_list(value)) {
    for (std::size_t i = 0; i < value.size(); ++i) {
      if (!is_scalar(value[i])) refuse_value(key, path);
      if (const auto text = scalar_text(value[i])) entry.values.push_back(*text);
    }
  } else {
    entry.is_map = true;
    for (const auto& [name, member] : members(value)) {
      if (!is_scalar(member)) refuse_value(key + "." + name, path);
      if (const auto text = scalar_text(member)) entry.members[name] = *text;
    }
  }
  return entry;
}

template <typename Node>
std::vector<ConfigEntry> read_entries(const Node& document, const std::string& path) {
  std::vector<ConfigEntry> entries;
  for (const auto& [key, value] : members(document)) {
    ConfigEntry entry = read_entry(key, value, path);
    if (!entry.values.empty() || entry.is_map) entries.push_back(std::move(entry));
  }
  return entries;
}

YAML::Node parse_yaml(const std::string& text, const std::string& path) {
  try {
    return YAML::Load(text);
  } catch (const YAML::Exception& error) {
    throw Error(ErrorCode::yaml_syntax, "config: not YAML", {.path = path, .found = error.what()});
  }
}

[[noreturn]] void refuse_document(const std::string& path) {
  throw Error(ErrorCode::json_type, "config: the document is no mapping of flags to values",
              {.path = path});
}

[[noreturn]] void refuse_entry(const std::string& key,
                               const std::string& what,
                               const std::string& path) {
  throw Error(ErrorCode::usage, "config: '" + key + "' " + what, {.path = path});
}

/// Appends the values of one flag.
void add_values(const ConfigEntry& entry,
                const FlagForm& form,
                const std::string& path,
                NormalArguments& out) {
  if (entry.is_map) refuse_entry(entry.key, "takes no mapping", path);
  if (form.kind != FlagKind::list && entry.values.size() > 1) {
    refuse_entry(entry.key, "takes one value, not a list", path);
  }
  for (const std::string& value : entry.values) {
    const std::string word = form.kind == FlagKind::boolean ? boolean_word(value) : value;
    if (form.kind == FlagKind::boolean && word.empty()) {
      refuse_entry(entry.key, "is true or false, not '" + value + "'", path);
    }
    out.values.emplace_back(form.name, word);
  }
}

}  // namespace

std::vector<ConfigEntry> read_config_file(const std::string& path) {
  const std::string text = read_text(path, kMaxConfigBytes);
  if (path.ends_with(".json")) {
    const Json document = parse_json(text, path);
    if (!document.is_object()) refuse_document(path);
    return read_entries(document, path);
  }
  const YAML::Node document = parse_yaml(text, path);
  if (document.IsNull()) return {};
  if (!document.IsMap()) refuse_document(path);
  return read_entries(document, path);
}

NormalArguments config_arguments(const std::string& path,
                                 const FlagNames& names,
                                 const NormalArguments& given) {
  NormalArguments out;
  for (const ConfigEntry& entry : read_config_file(path)) {
    const std::string key = dashed(entry.key);
    if (const auto form = names.forms.find(key); form != names.forms.end()) {
      if (!given.has(form->second.name)) add_values(entry, form->second, path, out);
      continue;
    }
    std::map<std::string, std::string> components = entry.members;
    if (!entry.is_map) components = {{overridden_component(key), entry.values.front()}};
    const bool is_components = entry.is_map ? key == "component-paths" : !components.contains("");
    if (!names.component_paths || !is_components) refuse_unknown(key, names, path);
    for (const auto& [component, folder] : components) {
      const std::string name = overridden_component("component-paths." + component);
      if (!given.component_paths.contains(name)) out.component_paths[name] = expand_user(folder);
    }
  }
  return out;
}

}  // namespace ditq
