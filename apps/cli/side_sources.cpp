#include "side_sources.h"

#include <algorithm>

#include "base/error.h"
#include "base/file.h"

namespace ditq {

std::map<std::string, std::string> take_side_components(
    const std::string& side,
    const std::vector<std::string>& pairs,
    std::map<std::string, std::string>& shared) {
  std::map<std::string, std::string> out;
  const std::string prefix = side + "_";
  for (auto entry = shared.begin(); entry != shared.end();) {
    const bool ours = entry->first.starts_with(prefix);
    if (ours) out[entry->first.substr(prefix.size())] = entry->second;
    entry = ours ? shared.erase(entry) : std::next(entry);
  }
  for (const std::string& pair : pairs) {
    const std::size_t equals = pair.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == pair.size()) {
      throw Error(ErrorCode::usage, "--" + side + "-component-path takes component=path",
                  {.found = "'" + pair + "'"});
    }
    std::string component = pair.substr(0, equals);
    std::replace(component.begin(), component.end(), '-', '_');
    out[component] = expand_user(pair.substr(equals + 1));
  }
  return out;
}

PipelineSources with_side(PipelineSources base, const PipelineSources& side) {
  for (const auto& [component, path] : side.components) base.components[component] = path;
  if (!side.transformer_weights_path.empty()) {
    base.transformer_weights_path = side.transformer_weights_path;
  }
  return base;
}

}  // namespace ditq
