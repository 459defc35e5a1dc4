#include "convert/ignore_list.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "base/error.h"

namespace ditq {
namespace {

constexpr std::string_view kMetacharacters = "*+?^$|()[]{}\\";

Regex compile(const std::string& entry, const std::string& path) {
  std::string pattern;
  for (const char c : entry) {
    if (c == '.') {
      pattern += "\\.";
    } else if (c == '*') {
      pattern += ".*";
    } else {
      pattern += c;
    }
  }
  try {
    return Regex(pattern);
  } catch (const Error& error) {
    throw Error(ErrorCode::bad_config,
                "quantization_config.ignore has an entry that cannot be matched",
                {.path = path, .found = "'" + entry + "': " + error.sentence()});
  }
}

}  // namespace

IgnoreList::IgnoreList(const std::vector<std::string>& entries, const std::string& path) {
  for (const std::string& entry : entries) {
    if (entry.find_first_of(kMetacharacters) == std::string::npos) {
      literals_.insert(entry);
    } else {
      if (patterns_.size() == kMaxIgnorePatterns) {
        throw Error(ErrorCode::bad_config, "quantization_config.ignore has too many patterns",
                    {.path = path, .expected = fmt::format("at most {}", kMaxIgnorePatterns)});
      }
      patterns_.push_back(compile(entry, path));
    }
  }
}

bool IgnoreList::matches(const std::vector<std::string>& names) const {
  return std::any_of(names.begin(), names.end(), [this](const std::string& name) {
    return literals_.contains(name) ||
           std::any_of(patterns_.begin(), patterns_.end(),
                       [&name](const Regex& pattern) { return pattern.full_match(name); });
  });
}

}  // namespace ditq
