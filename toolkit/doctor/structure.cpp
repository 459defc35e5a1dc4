#include "doctor/structure.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "family/check_tensors.h"
#include "family/dialect.h"

namespace ditq {
namespace {

/// The first few of many names.
std::string some_of(const std::vector<std::string>& names) {
  constexpr std::size_t kListed = 4;
  const std::size_t listed = std::min(kListed, names.size());
  return fmt::format(
      "{}{}", fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(listed), ", "),
      listed == names.size() ? "" : fmt::format(" and {} more", names.size() - listed));
}

void report(const char* kind,
            const char* what,
            const std::vector<std::string>& names,
            const char* advice,
            Findings& findings) {
  if (names.empty()) return;
  findings.add(kind, Severity::problem,
               fmt::format("{} {}: {}", names.size(),
                           names.size() == 1 ? fmt::format("tensor {}", what)
                                             : fmt::format("tensors {}", what),
                           some_of(names)),
               advice);
}

}  // namespace

void check_tensors_of_base(const TransformerSource& source,
                           const TransformerSource& base,
                           const std::set<std::string>& broken,
                           Findings& findings) {
  const TensorTable found = plain_table(*source.tensors);
  const TensorTable wanted = plain_table(*base.tensors);
  std::vector<std::string> missing;
  std::vector<std::string> misshapen;
  std::vector<std::string> extra;
  for (const auto& [name, facts] : wanted) {
    const auto there = found.find(name);
    if (there == found.end()) {
      if (!broken.contains(split_tensor_name(name).module)) missing.push_back(name);
    } else if (there->second.shape != facts.shape) {
      misshapen.push_back(fmt::format("{} is {}, not {}", name, to_string(there->second.shape),
                                      to_string(facts.shape)));
    }
  }
  for (const auto& [name, facts] : found) {
    if (!wanted.contains(name)) extra.push_back(name);
  }
  report("missing_tensors", "of the base missing", missing,
         "Export again; or is --base another model?", findings);
  report("misshapen_tensors", "of another shape than the base's", misshapen,
         "Export again; or is --base another model?", findings);
  report("extra_tensors", "that the base has not", extra,
         "Loaders refuse or pass over them; or is --base another model?", findings);
}

void check_tensors_of_family(const TransformerSource& source, Findings& findings) {
  const FamilySpec* family = source.detection.family;
  if (family == nullptr || family->dims == nullptr || source.config.empty()) return;
  TensorTable table;
  for (const auto& [name, tensor] : source.tensors->tensors()) {
    table[name] = {tensor.dtype, tensor.shape};
  }
  try {
    check_tensors(*family, family->dims(source.config, source.config_path), table,
                  source.checkpoint->path());
  } catch (const Error& error) {
    findings.add_content(error, "");
  }
}

void check_declared_order(const TransformerSource& source, Findings& findings) {
  for (const std::string& layer : source.undeclared) {
    const bool swizzled = source.unswizzled.contains(layer);
    const std::string order =
        swizzled ? "look swizzled by their shape" : "look row by row by their shape";
    findings.add(
        {.kind = "scale_order",
         .one = "block scales of '{}' " + order + ", which nothing declares",
         .many = "block scales of {} layers " + order + ", which nothing declares",
         .advice = fmt::format("ditq reads them right. Set checkpoint_weight_scale_layout to "
                               "'{}' for loaders that do not look at shapes",
                               name(swizzled ? ScaleLayout::swizzled : ScaleLayout::linear))},
        layer);
  }
}

void check_ignored(const TransformerSource& source,
                   const std::vector<Layer>& layers,
                   Findings& findings) {
  if (source.quant.scheme == Scheme::none) return;
  for (const Layer& layer : layers) {
    const bool ignored = source.quant.ignores(layer.name);
    if (ignored && layer.encoding != Encoding::plain) {
      findings.add({.kind = "ignored_layer_quantized",
                    .one = "the ignore list names '{}', but its weight is quantized",
                    .many = "the ignore list names {} layers whose weights are quantized",
                    .advice = "Loaders would take their codes for plain weights: correct the list, "
                              "or convert again"},
                   layer.name);
    }
  }
}

}  // namespace ditq
