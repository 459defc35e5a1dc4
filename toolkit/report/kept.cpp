// What stayed in full precision and why, folded by role; what was quantized, in a line.

#include <algorithm>
#include <map>
#include <tuple>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/module_name.h"
#include "report/html.h"
#include "report/numbers.h"
#include "report/sections.h"

namespace ditq {
namespace {

/// Layers of one role that are stored alike for one reason.
struct Role {
  std::string name;
  std::string dtype;
  std::string note;
  std::string shape;
  bool matrix = false;
  std::size_t layers = 0;
  double elements = 0;
};

double bytes_of(const Role& role) {
  const bool wide = role.dtype == "F32";
  return role.elements * (wide ? 4 : 2);
}

/// "256 × 128"
std::string shape_text(const Node& shape, Role& role) {
  std::vector<std::string> sides;
  double elements = 1;
  for (const Node& side : shape.items()) {
    const double length = side.number().value_or(0);
    elements *= length;
    sides.push_back(fmt::format("{:.0f}", length));
  }
  role.matrix = sides.size() == 2;
  role.elements = elements;
  return fmt::format("{}", fmt::join(sides, " × "));
}

/// Roles in the order of their first layer.
std::vector<Role> kept_roles(const Node& checkpoint) {
  std::map<std::tuple<std::string, std::string, std::string, std::string>, std::size_t> places;
  std::vector<Role> out;
  for (const Node& layer : checkpoint["layers"].items()) {
    if (layer["quantized"].flag().value_or(false)) continue;
    Role role{.name = folded_name(layer["name"].text()),
              .dtype = layer["dtype"].text(),
              .note = layer["note"].text()};
    role.shape = shape_text(layer["shape"], role);
    const auto [place, is_new] =
        places.emplace(std::tuple(role.name, role.dtype, role.note, role.shape), out.size());
    if (is_new) out.push_back(role);
    Role& known = out[place->second];
    ++known.layers;
    if (!is_new) known.elements += role.elements;
  }
  return out;
}

/// The note of `inspect`, with what it means.
std::string reason(const std::string& note) {
  if (note.empty()) return "nothing in this checkpoint is quantized";
  if (note == "ignored by name") return "listed by name in the checkpoint's quantization config";
  if (note.starts_with("ignored by '") && note.ends_with("'")) {
    return "matches a pattern of the quantization config: <code>" +
           escaped(note.substr(12, note.size() - 13)) + "</code>";
  }
  return foreign(note);
}

std::string total_words(const std::vector<const Role*>& roles) {
  std::size_t layers = 0;
  double bytes = 0;
  for (const Role* role : roles) {
    layers += role->layers;
    bytes += bytes_of(*role);
  }
  return fmt::format("{}, {}", counted(layers, "layer"), bytes_text(bytes));
}

std::string matrices_table(std::vector<const Role*> roles) {
  std::stable_sort(roles.begin(), roles.end(),
                   [](const Role* a, const Role* b) { return bytes_of(*a) > bytes_of(*b); });
  HtmlTable table("Layers in full precision", {{"Kind of layer", "name"},
                                               {"Layers", "number"},
                                               {"Stored"},
                                               {"Shape", "number"},
                                               {"Size", "number"},
                                               {"Why", "words"}});
  for (const Role* role : roles) {
    table.add({"<code>" + escaped(role->name) + "</code>", fmt::format("{}", role->layers),
               escaped(role->dtype), role->shape, bytes_text(bytes_of(*role)), reason(role->note)});
  }
  return table.html();
}

/// Norms, biases' owners and convolutions: no scheme here quantizes them, so a line is enough.
std::string others_line(const std::vector<const Role*>& roles) {
  if (roles.empty()) return "";
  std::vector<std::string> names;
  for (const Role* role : roles) names.push_back("<code>" + escaped(role->name) + "</code>");
  return fmt::format(
      "<p class=\"note\">Beside these {} that are no matrices (norms, vectors, convolutions) and "
      "always stay as they are: {}.</p>\n",
      total_words(roles), fmt::join(names, ", "));
}

}  // namespace

Node inspected_checkpoint(const Node& inspect) {
  if (inspect["components"].empty()) return inspect;
  for (const Node& component : inspect["components"].items()) {
    if (component["name"].text() == "transformer") return component["checkpoint"];
  }
  return {};
}

std::string kept_section(const ReportView& view) {
  const Node checkpoint = inspected_checkpoint(view.inspect);
  if (checkpoint.empty()) return "";
  const std::string title = "Kept in full precision";
  if (checkpoint["layers"].empty()) {
    return section("kept", title,
                   "<p class=\"lead\">The inspection lists no layers: it was made without "
                   "<code>--layers</code>.</p>\n");
  }
  const std::vector<Role> roles = kept_roles(checkpoint);
  std::vector<const Role*> matrices;
  std::vector<const Role*> others;
  for (const Role& role : roles) (role.matrix ? matrices : others).push_back(&role);
  std::string lead = fmt::format(
      "<p class=\"lead\">{:.0f} of {:.0f} layers are quantized ({}), {} of tensors in all.",
      checkpoint["quantized_layers"].number().value_or(0),
      checkpoint["layer_count"].number().value_or(0), foreign(checkpoint["scheme"].text()),
      bytes_text(checkpoint["bytes"].number()));
  lead += matrices.empty() ? " Every matrix is."
                           : fmt::format(" Matrices that are not: {}.", total_words(matrices));
  return section(
      "kept", title,
      lead + "</p>\n" + (matrices.empty() ? "" : matrices_table(matrices)) + others_line(others));
}

}  // namespace ditq
