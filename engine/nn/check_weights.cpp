#include "nn/check_weights.h"

#include <algorithm>
#include <cctype>
#include <set>

#include <fmt/format.h>

#include "base/error.h"

namespace ditq {
namespace {

bool is_digit(char c) {
  return std::isdigit(static_cast<unsigned char>(c)) != 0;
}

/// "layers.11.norm1" becomes "layers.#.norm1": only numbers that are a whole part of the name are
/// indices.
std::string without_indices(const std::string& name) {
  std::string out;
  for (std::size_t begin = 0; begin <= name.size();) {
    const std::size_t end = std::min(name.find('.', begin), name.size());
    const std::string part = name.substr(begin, end - begin);
    const bool index = !part.empty() && std::all_of(part.begin(), part.end(), is_digit);
    if (begin != 0) out += '.';
    out += index ? "#" : part;
    begin = end + 1;
  }
  return out;
}

/// Collects problems; those that differ in indices alone become one line.
class Problems {
 public:
  void add(const char* what, const std::string& name, const std::string& detail) {
    const std::string key = fmt::format("{} {} {}", what, without_indices(name), detail);
    const auto [place, is_new] = lines_.emplace(key, lines_in_order_.size());
    if (is_new) lines_in_order_.push_back({fmt::format("{} {} {}", what, name, detail), 0});
    ++lines_in_order_[place->second].count;
  }

  std::string text() const {
    std::string out;
    for (const Line& line : lines_in_order_) {
      out += "\n  " + line.first;
      if (line.count > 1) out += fmt::format(" and {} more like it", line.count - 1);
    }
    return out;
  }

 private:
  struct Line {
    std::string first;
    int count;
  };
  std::map<std::string, std::size_t> lines_;
  std::vector<Line> lines_in_order_;
};

bool usable(Dtype dtype) {
  return dtype == Dtype::bf16 || dtype == Dtype::f16 || dtype == Dtype::f32;
}

void check_one(const ExpectedTensor& expected, const StoredTensor* stored, Problems& problems) {
  if (stored == nullptr) {
    if (expected.required) problems.add("missing", expected.name, to_string(expected.shape));
    return;
  }
  if (stored->shape != expected.shape) {
    problems.add(
        "misshapen", expected.name,
        fmt::format("expected {}, found {}", to_string(expected.shape), to_string(stored->shape)));
  } else if (!usable(stored->dtype)) {
    problems.add("unusable", expected.name,
                 fmt::format("expected F32, F16 or BF16, found {}", name(stored->dtype)));
  }
}

bool starts_with_any(const std::string& name, const std::vector<std::string>& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const std::string& prefix) { return name.starts_with(prefix); });
}

}  // namespace

void WeightTable::add_linear(const std::string& name,
                             std::int64_t out,
                             std::int64_t in,
                             bool bias) {
  tensors.push_back({name + ".weight", {out, in}});
  if (bias) tensors.push_back({name + ".bias", {out}});
}

void WeightTable::add_conv(const std::string& name,
                           std::int64_t out,
                           std::int64_t in,
                           std::int64_t kernel) {
  tensors.push_back({name + ".weight", {out, in, kernel, kernel}});
  tensors.push_back({name + ".bias", {out}});
}

void WeightTable::add_norm(const std::string& name, std::int64_t size, bool bias) {
  tensors.push_back({name + ".weight", {size}});
  if (bias) tensors.push_back({name + ".bias", {size}});
}

void check_weights(const WeightTable& table,
                   const std::map<std::string, StoredTensor>& found,
                   const std::string& path) {
  Problems problems;
  std::set<std::string> known;
  for (const ExpectedTensor& expected : table.tensors) {
    const auto stored = found.find(expected.name);
    check_one(expected, stored == found.end() ? nullptr : &stored->second, problems);
    known.insert(expected.name);
  }
  for (const auto& [name, stored] : found) {
    if (known.contains(name) || starts_with_any(name, table.tolerated)) continue;
    problems.add("unexpected", name, to_string(stored.shape));
  }
  const std::string text = problems.text();
  if (text.empty()) return;
  throw Error(
      ErrorCode::family_mismatch,
      fmt::format("the tensors are not those of a {} with this config:{}\n ", table.network, text),
      {.path = path});
}

void check_weights(const WeightTable& table, const Weights& w) {
  const std::string prefix = w.full_name("");
  std::map<std::string, StoredTensor> found;
  for (const auto& [name, tensor] : w.tensors().tensors()) {
    if (!name.starts_with(prefix)) continue;
    found[name.substr(prefix.size())] = {tensor.dtype, tensor.shape};
  }
  check_weights(table, found, w.path());
}

}  // namespace ditq
