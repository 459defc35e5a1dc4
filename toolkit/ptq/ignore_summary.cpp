#include "ptq/ignore_summary.h"

#include <algorithm>
#include <optional>

namespace ditq {
namespace {

/// Everything that an entry must not be: quantized names, and each of their prefixes with a star.
std::set<std::string> forbidden_entries(const std::vector<std::string>& quantized) {
  std::set<std::string> forbidden;
  for (const std::string& name : quantized) {
    forbidden.insert(name);
    for (std::size_t length = 0; length <= name.size(); ++length) {
      forbidden.insert(name.substr(0, length) + "*");
    }
  }
  return forbidden;
}

class Summary {
 public:
  explicit Summary(const std::vector<std::string>& quantized)
      : forbidden_(forbidden_entries(quantized)) {}

  void add(const std::string& name) {
    for (std::size_t dot = name.find('.'); dot != std::string::npos;
         dot = name.find('.', dot + 1)) {
      const std::string left = name.substr(0, dot);
      if (take({left + "*"}, left + "*") || take({left, left + ".*"}, left + ".*")) return;
    }
    take({name}, name);
  }

  std::vector<std::string> entries() const { return {entries_.begin(), entries_.end()}; }

 private:
  /// Whether this option is the name's: then its pattern is in the list, unless all members are there already.
  bool take(const std::vector<std::string>& members, const std::string& pattern) {
    const auto is_forbidden = [this](const std::string& entry) {
      return forbidden_.contains(entry);
    };
    const auto is_there = [this](const std::string& entry) { return entries_.contains(entry); };
    if (std::any_of(members.begin(), members.end(), is_forbidden)) return false;
    if (!std::all_of(members.begin(), members.end(), is_there)) entries_.insert(pattern);
    return true;
  }

  std::set<std::string> forbidden_;
  std::set<std::string> entries_;
};

}  // namespace

std::vector<std::string> summarize_ignore(const std::vector<std::string>& unquantized,
                                          const std::vector<std::string>& quantized) {
  Summary summary(quantized);
  for (const std::string& name : unquantized) summary.add(name);
  return summary.entries();
}

}  // namespace ditq
