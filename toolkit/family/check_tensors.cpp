#include "family/check_tensors.h"

#include <algorithm>
#include <set>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"

namespace ditq {
namespace {

using Shape = std::vector<std::int64_t>;

std::string shape_text(const Shape& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

std::string with_index(const std::string& name, std::int64_t index) {
  const std::size_t mark = name.find('#');
  return mark == std::string::npos
             ? name
             : name.substr(0, mark) + std::to_string(index) + name.substr(mark + 1);
}

bool is_scalar(const Shape& shape) {
  return shape.empty() || shape == Shape{1};
}

bool is_float(Dtype dtype) {
  return dtype == Dtype::bf16 || dtype == Dtype::f16 || dtype == Dtype::f32;
}

// Folds {0, 1, 2, 5} to "{0-2,5}".
std::string folded(const std::set<long long>& indices) {
  if (indices.size() == 1) return std::to_string(*indices.begin());
  std::vector<std::string> parts;
  for (auto it = indices.begin(); it != indices.end();) {
    const long long first = *it;
    long long last = first;
    while (++it != indices.end() && *it == last + 1) last = *it;
    parts.push_back(first == last ? std::to_string(first) : fmt::format("{}-{}", first, last));
  }
  return fmt::format("{{{}}}", fmt::join(parts, ","));
}

// A name cut at its block index: the digits that follow the first dot before a digit.
struct CutName {
  std::string head;
  std::string digits;  // empty without an index
  std::string tail;
};

CutName cut_name(const std::string& name) {
  const std::size_t begin = name.find_first_of("0123456789");
  if (begin == std::string::npos || begin == 0 || name[begin - 1] != '.') return {name, "", ""};
  const std::size_t end = std::min(name.find_first_not_of("0123456789", begin), name.size());
  // Longer ones are no block index and do not fit a number.
  if (end - begin > 9) return {name, "", ""};
  return {name.substr(0, begin), name.substr(begin, end - begin), name.substr(end)};
}

// Collects problems; those that differ in the block index alone become one line.
class Problems {
 public:
  void add(const std::string& what, const std::string& tensor, const std::string& detail) {
    const CutName cut = cut_name(tensor);
    const std::string front = "\n  " + what + " " + cut.head;
    const std::string back = cut.tail + detail;
    const auto [place, is_new] = by_text_.emplace(front + "#" + back, lines_.size());
    if (is_new) lines_.push_back({front, {}, back});
    if (!cut.digits.empty()) lines_[place->second].indices.insert(std::stoll(cut.digits));
  }

  std::string text() const {
    std::string out;
    for (const Line& line : lines_) {
      out += line.front + (line.indices.empty() ? "" : folded(line.indices)) + line.back;
    }
    return out;
  }

 private:
  struct Line {
    std::string front;
    std::set<long long> indices;
    std::string back;
  };
  std::vector<Line> lines_;
  std::map<std::string, std::size_t> by_text_;
};

// One module of the model, blocks counted out.
struct Layer {
  std::string name;
  std::int64_t out = 0;
  std::optional<std::int64_t> in;  // nothing for a norm
  bool bias = false;
};

std::vector<Layer> layers_of(const FamilySpec& family, const DimValues& dims) {
  std::vector<Layer> layers;
  for (const LayerRow& row : family.layers) {
    if (!row.needs.empty() && dims.at(row.needs) == 0) continue;
    const std::int64_t count = row.blocks.empty() ? 1 : dims.at(row.blocks);
    for (std::int64_t i = 0; i < count; ++i) {
      Layer layer{.name = with_index(row.name, i), .out = size_value(row.out, dims), .in = {}};
      if (!row.in.empty()) layer.in = size_value(row.in, dims);
      layer.bias = layer.in.has_value() && row.bias;
      layers.push_back(layer);
    }
  }
  return layers;
}

// Checks one checkpoint; every tensor that a layer accounts for leaves `rest_`.
class Checker {
 public:
  explicit Checker(const TensorTable& found) : found_(found) {
    for (const auto& entry : found) {
      // State of quantizers that some exports leave behind (attention's with --quantize-mha); nothing reads it.
      if (entry.first.find("_quantizer.") == std::string::npos) rest_.insert(entry.first);
    }
  }

  void check(const Layer& layer) {
    if (!layer.in) {
      plain(layer.name + ".weight", {layer.out});
      return;
    }
    if (layer.bias) plain(layer.name + ".bias", {layer.out});
    // Also beside plain weights: ModelOpt factors layers before it filters them, and their weight is the residual.
    svdquant(layer);
    const auto weight = found_.find(layer.name + ".weight");
    if (weight == found_.end()) {
      // Companions of a weight that is not there stay in the rest and are reported as unexpected.
      problems_.add("missing", layer.name + ".weight", " " + shape_text({layer.out, *layer.in}));
    } else if (weight->second.dtype == Dtype::f8_e4m3) {
      fp8(layer);
    } else if (weight->second.dtype == Dtype::u8) {
      nvfp4(layer);
    } else {
      plain(layer.name + ".weight", {layer.out, *layer.in});
    }
  }

  std::string finish() {
    for (const std::string& name : rest_) {
      problems_.add("unexpected", name, " " + facts_text(found_.at(name)));
    }
    return problems_.text();
  }

 private:
  static std::string facts_text(const TensorFacts& facts) {
    return fmt::format("{} {}", name(facts.dtype), shape_text(facts.shape));
  }

  // The tensor, ticked off; reports it where it must be there.
  const TensorFacts* take(const std::string& tensor, bool required, const std::string& expected) {
    const auto found = found_.find(tensor);
    if (found == found_.end()) {
      if (required) problems_.add("missing", tensor, expected.empty() ? "" : " " + expected);
      return nullptr;
    }
    rest_.erase(tensor);
    return &found->second;
  }

  void wrong(const std::string& tensor, const std::string& expected, const TensorFacts& facts) {
    problems_.add("wrong", tensor, ": expected " + expected + ", found " + facts_text(facts));
  }

  void plain(const std::string& tensor, const Shape& shape) {
    const TensorFacts* facts = take(tensor, true, shape_text(shape));
    if (facts == nullptr) return;
    if (facts->shape != shape || !is_float(facts->dtype)) {
      wrong(tensor, "BF16, F16 or F32 " + shape_text(shape), *facts);
    }
  }

  void exact(const std::string& tensor, Dtype dtype, const Shape& shape) {
    const std::string expected = fmt::format("{} {}", name(dtype), shape_text(shape));
    const TensorFacts* facts = take(tensor, true, expected);
    if (facts == nullptr) return;
    if (facts->shape != shape || facts->dtype != dtype) wrong(tensor, expected, *facts);
  }

  void scale(const std::string& tensor, bool required, std::int64_t rows) {
    const TensorFacts* facts = take(tensor, required, "F32 [1]");
    if (facts == nullptr) return;
    const bool channels =
        rows > 0 && (facts->shape == Shape{rows} || facts->shape == Shape{rows, 1});
    if (facts->dtype != Dtype::f32 || !(is_scalar(facts->shape) || channels)) {
      wrong(tensor,
            rows > 0 ? fmt::format("F32 [], [1], [{0}] or [{0}, 1]", rows) : "F32 [] or [1]",
            *facts);
    }
  }

  void fp8(const Layer& layer) {
    exact(layer.name + ".weight", Dtype::f8_e4m3, {layer.out, *layer.in});
    scale(layer.name + ".weight_scale", true, layer.out);
    scale(layer.name + ".input_scale", false, 0);
  }

  void nvfp4(const Layer& layer) {
    exact(layer.name + ".weight", Dtype::u8, {layer.out, *layer.in / 2});
    exact(layer.name + ".weight_scale", Dtype::f8_e4m3, {layer.out, *layer.in / 16});
    scale(layer.name + ".weight_scale_2", true, 0);
    scale(layer.name + ".input_scale", false, 0);
  }

  void svdquant(const Layer& layer) {
    if (const TensorFacts* facts = take(layer.name + ".pre_quant_scale", false, "")) {
      if (facts->shape != Shape{*layer.in}) {
        wrong(layer.name + ".pre_quant_scale", shape_text({*layer.in}), *facts);
      }
    }
    const TensorFacts* a = take(layer.name + ".svdquant_lora_a", false, "");
    const TensorFacts* b = take(layer.name + ".svdquant_lora_b", a != nullptr, "");
    if (a != nullptr && (a->shape.size() != 2 || a->shape[1] != *layer.in)) {
      wrong(layer.name + ".svdquant_lora_a", fmt::format("[rank, {}]", *layer.in), *a);
    } else if (a != nullptr && b != nullptr && b->shape != Shape{layer.out, a->shape[0]}) {
      wrong(layer.name + ".svdquant_lora_b", shape_text({layer.out, a->shape[0]}), *b);
    }
  }

  const TensorTable& found_;
  std::set<std::string> rest_;
  Problems problems_;
};

}  // namespace

std::int64_t size_value(const std::string& size, const DimValues& dims) {
  const std::size_t end = size.find_first_not_of("0123456789");
  const std::int64_t factor = end == 0 ? 1 : std::stoll(size.substr(0, end));
  if (end == std::string::npos) return factor;
  const auto dim = dims.find(size.substr(end));
  DITQ_ASSERT(dim != dims.end());
  return factor * dim->second;
}

TensorTable expected_tensors(const FamilySpec& family, const DimValues& dims) {
  TensorTable table;
  for (const Layer& layer : layers_of(family, dims)) {
    Shape shape = {layer.out};
    if (layer.bias) table[layer.name + ".bias"].shape = shape;
    if (layer.in) shape.push_back(*layer.in);
    table[layer.name + ".weight"].shape = shape;
  }
  return table;
}

void check_tensors(const FamilySpec& family,
                   const DimValues& dims,
                   const TensorTable& found,
                   const std::string& path) {
  Checker checker(found);
  for (const Layer& layer : layers_of(family, dims)) checker.check(layer);
  const std::string problems = checker.finish();
  if (problems.empty()) return;
  throw Error(ErrorCode::family_mismatch,
              fmt::format("the tensors are not those of a {} transformer with this config:{}\n ",
                          family.title, problems),
              {.path = path});
}

std::optional<LayerUse> layer_use(const FamilySpec& family, const std::string& module) {
  for (const LayerRow& row : family.layers) {
    const std::size_t mark = row.name.find('#');
    if (mark == std::string::npos) {
      if (module == row.name) return row.use;
      continue;
    }
    const std::string head = row.name.substr(0, mark);
    const std::string tail = row.name.substr(mark + 1);
    if (module.size() <= head.size() + tail.size() || !module.starts_with(head) ||
        !module.ends_with(tail)) {
      continue;
    }
    const std::string index = module.substr(head.size(), module.size() - head.size() - tail.size());
    if (index.find_first_not_of("0123456789") == std::string::npos) return row.use;
  }
  return std::nullopt;
}

}  // namespace ditq
