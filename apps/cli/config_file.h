#pragma once
// --config FILE: values for flags, in JSON or YAML. The command line overrides them.

#include <map>
#include <string>
#include <vector>

#include "arguments.h"

namespace ditq {

/// One key of a config file. A list has several values, a map none but members.
struct ConfigEntry {
  std::string key;                             ///< as written
  std::vector<std::string> values;             ///< numbers and booleans as text
  std::map<std::string, std::string> members;  ///< component_paths: {transformer: DIR}
  bool is_map = false;
};

/// The entries in document order; keys whose value is null are left out. A file named *.json is read as JSON, any
/// other as YAML.
/// Errors: file_not_found, file_unreadable, json_syntax, json_too_deep, yaml_syntax, json_type (no mapping at the top,
/// or a value that no flag can take).
std::vector<ConfigEntry> read_config_file(const std::string& path);

/// The values of a config file in the form of a command line, without those that `given` already has.
/// Errors: as read_config_file; usage (an unknown key, a list for a flag that takes one value).
NormalArguments config_arguments(const std::string& path,
                                 const FlagNames& names,
                                 const NormalArguments& given);

}  // namespace ditq
