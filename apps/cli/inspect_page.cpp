#include "inspect_page.h"

#include <algorithm>
#include <map>
#include <tuple>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/file.h"
#include "base/module_name.h"
#include "text_table.h"

namespace ditq {
namespace {

using Align = TextTable::Align;

std::string plural(std::uint64_t count, const std::string& noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::string joined(const std::vector<std::string>& parts) {
  std::string out;
  for (const std::string& part : parts) {
    if (!part.empty()) out += (out.empty() ? "" : " · ") + part;
  }
  return out;
}

std::string scale_text(const std::optional<double>& scale) {
  return scale ? fmt::format("{:.5g}", *scale) : "";
}

std::string stored_text(const LayerReport& layer, const Style& style) {
  return layer.quantized ? style.green(layer.stored) : layer.stored;
}

/// Layers of one role: same name but for the block, same storage, same note.
struct Role {
  const LayerReport* first = nullptr;
  std::size_t order = 0;
  std::uint64_t count = 0;
  double least = 0;
  double most = 0;
};

std::vector<std::pair<std::string, Role>> fold(const std::vector<LayerReport>& layers) {
  std::map<std::tuple<std::string, std::string, Shape, std::string>, Role> roles;
  for (const LayerReport& layer : layers) {
    const std::string name = folded_name(layer.name);
    Role& role = roles[{name, layer.stored, layer.shape, layer.note}];
    if (role.count++ == 0) {
      role.first = &layer;
      role.order = roles.size();
      role.least = role.most = layer.weight_scale.value_or(0);
    }
    role.least = std::min(role.least, layer.weight_scale.value_or(role.least));
    role.most = std::max(role.most, layer.weight_scale.value_or(role.most));
  }
  std::vector<std::pair<std::string, Role>> out;
  for (const auto& [key, role] : roles) out.emplace_back(std::get<0>(key), role);
  std::sort(out.begin(), out.end(),
            [](const auto& a, const auto& b) { return a.second.order < b.second.order; });
  return out;
}

std::string role_remark(const Role& role, const Style& style) {
  const LayerReport& layer = *role.first;
  std::string scales;
  if (layer.weight_scale) {
    scales = role.count == 1 ? fmt::format("scale {:.4g}", role.least)
                             : fmt::format("scales {:.4g} … {:.4g}", role.least, role.most);
  }
  return joined({scales, layer.quantized ? style.yellow(layer.note) : style.dim(layer.note)});
}

std::string format_roles(const std::vector<LayerReport>& layers, const Style& style) {
  const bool remarks = std::any_of(layers.begin(), layers.end(), [](const LayerReport& layer) {
    return !layer.note.empty() || layer.weight_scale;
  });
  TextTable table(
      {"layer", "stored", "shape", "×", remarks ? "scale, or why it is not quantized" : ""},
      {Align::left, Align::left, Align::left, Align::right, Align::left});
  for (const auto& [name, role] : fold(layers)) {
    table.add({name, stored_text(*role.first, style), to_string(role.first->shape),
               std::to_string(role.count), role_remark(role, style)});
  }
  return table.format(style);
}

std::string format_layers(const std::vector<LayerReport>& layers, const Style& style) {
  TextTable table({"layer", "stored", "shape", "weight scale", "input scale", ""},
                  {Align::left, Align::left, Align::left, Align::right, Align::right, Align::left});
  for (const LayerReport& layer : layers) {
    const bool calibration = layer.stored == "amax";
    table.add({layer.name, stored_text(layer, style), calibration ? "" : to_string(layer.shape),
               scale_text(layer.weight_scale), scale_text(layer.input_scale),
               layer.quantized ? style.yellow(layer.note) : style.dim(layer.note)});
  }
  return table.format(style);
}

std::string headline(const CheckpointReport& report) {
  if (report.kind == "torch checkpoint") return joined({"Torch checkpoint", report.scheme});
  std::string what = report.title.empty() ? report.class_name : report.title;
  if (what.empty()) what = "Unknown";
  const bool is_transformer = !report.title.empty();
  return joined({what + (is_transformer               ? " transformer"
                         : report.kind == "component" ? ""
                                                      : " " + report.kind),
                 report.variant, report.scheme});
}

std::string dtypes_text(const CheckpointReport& report) {
  std::vector<std::string> parts;
  for (const auto& [dtype, totals] : report.dtypes) {
    parts.push_back(fmt::format("{} {} in {}", dtype, human_bytes(totals.bytes),
                                plural(totals.tensors, "tensor")));
  }
  return joined(parts);
}

std::string size_text(const CheckpointReport& report) {
  return joined(
      {fmt::format("{} in {}", human_bytes(report.bytes), plural(report.files.size(), "file")),
       plural(report.tensors, "tensor"),
       report.parameters == 0 ? "" : human_count(report.parameters) + " parameters"});
}

std::string declared_text(const CheckpointReport& report) {
  if (report.quant_source.empty()) return {};
  return joined({fmt::format("{} {}", report.quant_method, report.quant_algo),
                 "in " + report.quant_source, plural(report.ignored, "name") + " ignored"});
}

std::string facts(const CheckpointReport& report, const Style& style) {
  const auto quantized =
      static_cast<std::uint64_t>(std::count_if(report.layers.begin(), report.layers.end(),
                                               [](const LayerReport& l) { return l.quantized; }));
  TextTable table({"", ""}, {Align::left, Align::left});
  const auto row = [&](const std::string& label, const std::string& value) {
    if (!value.empty()) table.add({style.dim(label), value});
  };
  row("family", report.family.empty()
                    ? ""
                    : joined({report.family, report.variant, report.dialect + " names"}));
  row("class", report.class_name);
  row("scheme", quantized == 0 ? report.scheme
                               : fmt::format("{} · {} of {} quantized", report.scheme, quantized,
                                             plural(report.layers.size(), "layer")));
  row("declared", declared_text(report));
  row("size", size_text(report));
  row("index", report.index);
  row("dtypes", dtypes_text(report));
  return table.format(style);
}

std::string format_head(const CheckpointReport& report, const Style& style) {
  return style.bold(headline(report)) + "\n  " + report.path + "\n\n" + facts(report, style);
}

std::string format_checkpoint(const CheckpointReport& report, bool layers, const Style& style) {
  std::string out = format_head(report, style);
  if (!report.layers.empty()) {
    out +=
        "\n" + (layers || report.kind == "torch checkpoint" ? format_layers(report.layers, style)
                                                            : format_roles(report.layers, style));
  }
  if (!report.reasons.empty()) out += "\n" + style.dim("  how this is known") + "\n";
  for (const std::string& reason : report.reasons) out += "  - " + wrap_text(reason, 100, 4) + "\n";
  return out;
}

std::string component_remark(const ComponentReport& component, const Style& style) {
  if (component.class_name.empty()) return style.dim(component.problem);
  if (!component.problem.empty()) return style.yellow(component.problem);
  if (!component.checkpoint) return {};
  const CheckpointReport& checkpoint = *component.checkpoint;
  return joined({checkpoint.variant, checkpoint.scheme, plural(checkpoint.tensors, "tensor"),
                 human_count(checkpoint.parameters) + " parameters"});
}

std::string format_pipeline(const InspectReport& report, bool layers, const Style& style) {
  std::uint64_t bytes = 0;
  TextTable table({"component", "class", "size", ""},
                  {Align::left, Align::left, Align::right, Align::left});
  for (const ComponentReport& component : report.components) {
    bytes += component.bytes;
    table.add({component.name, component.class_name,
               component.bytes == 0 ? "" : human_bytes(component.bytes),
               component_remark(component, style)});
  }
  std::string out = style.bold(joined({report.pipeline_class, human_bytes(bytes)})) + "\n  " +
                    report.path + "\n\n" + table.format(style);
  for (const ComponentReport& component : report.components) {
    if (!component.checkpoint) continue;
    const CheckpointReport& checkpoint = *component.checkpoint;
    if (layers) {
      out += "\n" + format_checkpoint(checkpoint, layers, style);
    } else if (!checkpoint.family.empty()) {
      out += "\n" + format_head(checkpoint, style) + "\n" +
             style.dim("  its layers: ditq inspect " + checkpoint.path) + "\n";
    }
  }
  return out;
}

}  // namespace

std::string human_count(std::uint64_t count) {
  const auto value = static_cast<double>(count);
  if (value >= 1e9) return fmt::format("{:.3g} B", value / 1e9);
  if (value >= 1e6) return fmt::format("{:.3g} M", value / 1e6);
  if (value >= 1e4) return fmt::format("{:.3g} k", value / 1e3);
  return std::to_string(count);
}

std::string format_report(const InspectReport& report, bool layers, const Style& style) {
  return report.checkpoint ? format_checkpoint(*report.checkpoint, layers, style)
                           : format_pipeline(report, layers, style);
}

}  // namespace ditq
