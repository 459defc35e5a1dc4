// What quantization did to the weights: a row for each kind of layer with a strip over the blocks, and the worst layers.

#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "base/module_name.h"
#include "report/html.h"
#include "report/numbers.h"
#include "report/sections.h"

namespace ditq {
namespace {

constexpr std::size_t kWorstLayers = 10;

/// One layer of the doctor's report.
struct Layer {
  std::string name;
  std::string stored;
  std::optional<double> error;
  bool equals_base = false;

  bool changed() const { return !equals_base && (!error || *error != 0); }
};

/// Layers of one kind, in the order of their blocks.
struct Kind {
  std::string name;
  std::vector<Layer> layers;
};

std::vector<Layer> read_layers(const Node& doctor) {
  std::vector<Layer> out;
  for (const Node& layer : doctor["layers"].items()) {
    out.push_back({.name = layer["name"].text(),
                   .stored = layer["stored"].text(),
                   .error = layer["error"].number(),
                   .equals_base = layer["equals_base"].flag().value_or(false)});
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const Layer& a, const Layer& b) { return natural_less(a.name, b.name); });
  return out;
}

/// Kinds with at least one layer that is not the base's, in the order of their names.
std::vector<Kind> kinds_of(const std::vector<Layer>& layers) {
  std::map<std::string, std::size_t> places;
  std::vector<Kind> out;
  for (const Layer& layer : layers) {
    const std::string name = folded_name(layer.name);
    const auto [place, is_new] = places.emplace(name, out.size());
    if (is_new) out.push_back({.name = name, .layers = {}});
    out[place->second].layers.push_back(layer);
  }
  const auto untouched = [](const Kind& kind) {
    return std::none_of(kind.layers.begin(), kind.layers.end(),
                        [](const Layer& layer) { return layer.changed(); });
  };
  out.erase(std::remove_if(out.begin(), out.end(), untouched), out.end());
  return out;
}

std::vector<double> errors_of(const std::vector<Layer>& layers) {
  std::vector<double> out;
  for (const Layer& layer : layers) {
    if (layer.changed() && layer.error && std::isfinite(*layer.error)) out.push_back(*layer.error);
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::optional<double> median(const std::vector<double>& sorted) {
  if (sorted.empty()) return std::nullopt;
  const std::size_t half = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

std::string layer_words(const Layer& layer) {
  return fmt::format("{}: {}{}", layer.name,
                     layer.equals_base ? "equals the base" : percent(layer.error),
                     layer.stored.empty() ? "" : " (" + layer.stored + ")");
}

/// A bar a block, from the first to the last, all strips on one scale.
std::string strip(const Kind& kind, double most) {
  constexpr double kHeight = 24;
  std::string bars;
  for (std::size_t i = 0; i < kind.layers.size(); ++i) {
    const Layer& layer = kind.layers[i];
    const bool finite = layer.error && std::isfinite(*layer.error);
    const double share = !layer.changed() || most <= 0 ? 0 : finite ? *layer.error / most : 1;
    const double height = std::max(1.0, share * kHeight);
    bars += fmt::format(
        "<rect class=\"{}\" x=\"{}\" y=\"{:.2f}\" width=\"0.8\" height=\"{:.2f}\"><title>{}</title>"
        "</rect>",
        !layer.changed() ? "kept"
        : finite         ? "bar"
                         : "unknown",
        i, kHeight - height, height, escaped(layer_words(layer)));
  }
  // Few blocks do not become wide ones.
  const std::size_t columns = std::max<std::size_t>(kind.layers.size(), 24);
  return fmt::format(
      "<svg class=\"strip\" viewBox=\"0 0 {} {}\" preserveAspectRatio=\"none\" "
      "role=\"img\" aria-label=\"error by block\">{}</svg>",
      columns, kHeight, bars);
}

std::string kinds_table(const std::vector<Kind>& kinds, double most) {
  HtmlTable table("Quantization error by kind of layer", {{"Kind of layer", "name"},
                                                          {"Stored"},
                                                          {"Layers", "number"},
                                                          {"First block to last", "wide"},
                                                          {"Median", "number"},
                                                          {"Largest", "number"}});
  for (const Kind& kind : kinds) {
    const std::vector<double> errors = errors_of(kind.layers);
    const auto changed = std::find_if(kind.layers.begin(), kind.layers.end(),
                                      [](const Layer& layer) { return layer.changed(); });
    table.add({"<code>" + escaped(kind.name) + "</code>", escaped(changed->stored),
               fmt::format("{}", kind.layers.size()), strip(kind, most), percent(median(errors)),
               errors.empty() ? "–" : percent(errors.back())});
  }
  return table.html();
}

std::string bar(const Layer& layer, double most) {
  const bool finite = layer.error && std::isfinite(*layer.error);
  const double share = finite && most > 0 ? *layer.error / most * 100 : 100;
  return fmt::format(
      "<li><code>{}</code><span class=\"meter\"><span style=\"width:{:.1f}%\"></span></span>"
      "<span class=\"value\">{}</span></li>\n",
      escaped(layer.name), share, percent(layer.error));
}

std::string worst_layers(std::vector<Layer> layers, double most) {
  layers.erase(std::remove_if(layers.begin(), layers.end(),
                              [](const Layer& layer) { return !layer.changed() || !layer.error; }),
               layers.end());
  std::stable_sort(layers.begin(), layers.end(), [](const Layer& a, const Layer& b) {
    return is_worse(a.error, b.error, Better::low);
  });
  layers.resize(std::min(layers.size(), kWorstLayers));
  std::string items;
  for (const Layer& layer : layers) items += bar(layer, most);
  return items.empty() ? ""
                       : fmt::format(
                             "<h3>The {} with the largest error</h3>\n<ol class=\"bars\">\n"
                             "{}</ol>\n",
                             counted(layers.size(), "layer"), items);
}

std::string all_layers(const std::vector<Layer>& layers) {
  HtmlTable table("Every layer", {{"Layer", "name"}, {"Stored"}, {"Error", "number"}});
  for (const Layer& layer : layers) {
    table.add({"<code>" + escaped(layer.name) + "</code>", escaped(layer.stored),
               layer.equals_base ? "equals the base" : percent(layer.error)});
  }
  return folded(fmt::format("All {} layers as numbers", layers.size()), table.html());
}

std::string findings(const Node& doctor) {
  std::string out;
  for (const Node& finding : doctor["findings"].items()) {
    const bool problem = finding["severity"].text() == "problem";
    out +=
        fmt::format("<p class=\"{}\"><b>{}:</b> {}{}</p>\n", problem ? "warning" : "note",
                    problem ? "Problem" : "Note", foreign(finding["message"].text()),
                    finding["advice"].empty() ? "" : " " + foreign(finding["advice"].text()) + ".");
  }
  return out;
}

}  // namespace

std::string layers_section(const ReportView& view) {
  if (view.doctor.empty()) return "";
  const std::vector<Layer> layers = read_layers(view.doctor);
  const std::vector<Kind> kinds = kinds_of(layers);
  const std::vector<double> errors = errors_of(layers);
  std::string body = findings(view.doctor);
  if (view.doctor["base"].empty()) {
    body +=
        "<p class=\"lead\">The checkpoint was examined without its base, so there is nothing to "
        "measure its weights against.</p>\n";
  } else if (errors.empty()) {
    body += fmt::format("<p class=\"lead\">All {} equal the base's.</p>\n",
                        counted(layers.size(), "layer"));
  } else {
    body += fmt::format(
        "<p class=\"lead\">Relative L2 distance between each weight, as it is decoded from the "
        "checkpoint, and the original. {} of {} layers differ: {} at the median, {} at most. "
        "Rounding "
        "alone gives about 2.7 % in E4M3 and 9.5 % in NVFP4; a layer far above its neighbours "
        "is "
        "worth a look.</p>\n",
        errors.size(), layers.size(), percent(median(errors)), percent(errors.back()));
    body += kinds_table(kinds, errors.back()) + worst_layers(layers, errors.back());
  }
  return section("layers", "Weights, layer by layer", body + all_layers(layers));
}

}  // namespace ditq
