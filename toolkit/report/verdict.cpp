// The page's head: title, what was compared, the verdict with its bars, and the figures to remember.

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "report/html.h"
#include "report/numbers.h"
#include "report/sections.h"

namespace ditq {
namespace {

/// How a metric's values are written: bars name "cosine", "last.mae", "psnr", ….
std::string metric_text(const std::string& metric, std::optional<double> value) {
  const std::string figure = metric.substr(metric.rfind('.') + 1);
  if (figure == "psnr") return decibel(value);
  if (figure == "cosine" || figure == "clip" || figure == "ssim") return fixed(value, 5);
  return significant(value);
}

/// A bar as it was typed, with its unit.
std::string bar_text(const std::string& metric, std::optional<double> bar) {
  if (!bar || !std::isfinite(*bar)) return significant(bar);
  return fmt::format("{:.6g}{}", *bar, metric.ends_with("psnr") ? " dB" : "");
}

std::string operator_text(const std::string& op) {
  if (op == ">=") return "≥";
  if (op == "<=") return "≤";
  return op;
}

/// By how much a bar holds or is missed.
std::string margin_text(const std::string& metric, double value, double bar) {
  return std::isfinite(value) && std::isfinite(bar) ? metric_text(metric, std::fabs(value - bar))
                                                    : "–";
}

/// One bar of --require.
struct Bar {
  explicit Bar(const Node& node)
      : metric(node["metric"].text()),
        op(operator_text(node["op"].text())),
        bar(node["bar"].number()),
        value(node["value"].number()),
        holds(node["holds"].flag().value_or(false)),
        sentence(node["sentence"].text()) {}

  std::string required() const { return op + " " + bar_text(metric, bar); }
  std::string measured() const { return metric_text(metric, value); }
  std::string margin() const {
    return value && bar ? margin_text(metric, *value, *bar) : std::string("–");
  }

  std::string metric;
  std::string op;
  std::optional<double> bar;
  std::optional<double> value;
  bool holds;
  std::string sentence;
};

std::vector<Bar> read_bars(const Node& gate) {
  std::vector<Bar> out;
  for (const Node& bar : gate["bars"].items()) out.emplace_back(bar);
  return out;
}

std::string bars_table(const std::vector<Bar>& bars) {
  HtmlTable table("Required and measured", {{"Bar", "name"},
                                            {"Required", "number"},
                                            {"Measured", "number"},
                                            {"Margin", "number"},
                                            {"Result"}});
  for (const Bar& bar : bars) {
    table.add({"<code>" + escaped(bar.metric) + "</code>", escaped(bar.required()), bar.measured(),
               bar.margin(),
               bar.holds ? "<span class=\"good\">✓ holds</span>"
                         : "<span class=\"bad\">✗ missed</span>"});
  }
  return table.html();
}

/// "psnr is 26.1 dB, required ≥ 28.0 dB: short by 1.9 dB".
std::string missed_sentence(const Bar& bar) {
  std::string out = fmt::format("<code>{}</code> is {}, required {}", escaped(bar.metric),
                                bar.measured(), escaped(bar.required()));
  if (bar.margin() != "–") {
    const bool high = bar.op.starts_with("≥") || bar.op.starts_with(">");
    out += fmt::format(": {} by {}", high ? "short" : "too much", bar.margin());
  }
  return out;
}

/// Sentences behind a verdict: missed bars, then defects that only the candidate has.
std::string reasons_list(const std::vector<Bar>& bars, const Node& gate) {
  std::string items;
  for (const Bar& bar : bars) {
    if (!bar.holds) items += "<li>" + missed_sentence(bar) + "</li>";
  }
  for (const Node& finding : gate["findings"].items()) {
    items += "<li>" + foreign(finding.text()) + "</li>";
  }
  return items.empty() ? "" : "<ul>" + items + "</ul>";
}

std::string verdict_box(const ReportView& view) {
  const Node gate = view.comparison["gate"];
  const std::vector<Bar> bars = read_bars(gate);
  const auto missed = static_cast<std::size_t>(
      std::count_if(bars.begin(), bars.end(), [](const Bar& bar) { return !bar.holds; }));
  const bool passed = gate["passed"].flag().value_or(missed == 0);
  std::string kind = "neutral";
  std::string mark = "•";
  std::string line = "Measured. No bars were set for this comparison.";
  if (!passed) {
    kind = "failed";
    mark = "✗";
    line = missed > 0 ? fmt::format("Gate missed: {} of {}", missed, counted(bars.size(), "bar"))
                      : "Gate missed: the candidate's pictures have defects";
  } else if (!bars.empty()) {
    kind = "passed";
    mark = "✓";
    line = bars.size() == 1   ? "Gate passed: the bar holds"
           : bars.size() == 2 ? "Gate passed: both bars hold"
                              : fmt::format("Gate passed: all {} bars hold", bars.size());
  }
  return fmt::format(
      "<div class=\"verdict {}\"><p class=\"verdict-line\"><span class=\"mark\" "
      "aria-hidden=\"true\">{}</span> {}</p>{}{}</div>\n",
      kind, mark, line, reasons_list(bars, gate), bars.empty() ? "" : bars_table(bars));
}

/// One figure to remember.
std::string tile(const std::string& name, const std::string& value, const std::string& detail) {
  return fmt::format("<div class=\"tile\"><dt>{}</dt><dd><b>{}</b><span>{}</span></dd></div>\n",
                     name, value, detail);
}

std::string run_words(const ReportView& view, std::size_t run) {
  return view.runs.size() > 1 ? fmt::format("run {}", view.runs[run].index) : "";
}

/// "mean 41.3 ± 0.4 dB", where the document aggregates several runs.
std::string mean_words(const ReportView& view, const std::string& metric) {
  const Node row = view.comparison["aggregate"][metric];
  const std::optional<double> mean = row["mean"].number();
  if (!mean || view.runs.size() < 2) return "";
  std::string out = "mean " + metric_text(metric, mean);
  if (const auto half = row["confidence_95"].number()) out += " ± " + metric_text(metric, half);
  return out;
}

std::string join_words(std::vector<std::string> words, const char* between) {
  words.erase(std::remove(words.begin(), words.end(), ""), words.end());
  return fmt::format("{}", fmt::join(words, between));
}

std::string cosine_tile(const ReportView& view) {
  std::vector<std::optional<double>> by_run;
  std::vector<std::size_t> steps;
  for (const RunView& run : view.runs) {
    std::vector<std::optional<double>> values;
    for (const StepView& step : run.steps) values.push_back(step.cosine);
    const Worst worst = worst_of(values, Better::high);
    by_run.push_back(worst.value);
    steps.push_back(worst.at);
  }
  const Worst worst = worst_of(by_run, Better::high);
  if (!worst.value) return "";
  return tile(
      "Worst latent cosine", fixed(worst.value, 5),
      join_words(
          {join_words({run_words(view, worst.at), fmt::format("step {}", steps[worst.at] + 1)},
                      ", "),
           mean_words(view, "cosine")},
          "<br>"));
}

std::string frame_tile(const ReportView& view,
                       const std::string& name,
                       const std::string& metric,
                       std::optional<double> FrameView::*figure) {
  std::vector<std::optional<double>> values;
  for (const RunView& run : view.runs) values.push_back(run.worst_frame().*figure);
  const Worst worst = worst_of(values, Better::high);
  if (!worst.value) return "";
  return tile(name, metric_text(metric, worst.value),
              join_words({run_words(view, worst.at), mean_words(view, metric)}, "<br>"));
}

std::string noise_tile(const ReportView& view) {
  const Node noise = view.comparison["noise_error"];
  const std::optional<double> value = noise["noise_l2"].number();
  if (!value) return "";
  std::string detail = "error of the predictions";
  if (const auto half = noise["noise_l2_confidence"].number()) {
    detail = "± " + significant(half, 2) + "<br>" + detail;
  }
  return tile("<code>noise_l2</code>", significant(value), detail);
}

/// Bytes of a side's transformer: one number, or a number a dtype.
std::optional<double> weight_bytes(const Node& side) {
  const Node bytes = side["weight_bytes"];
  if (bytes.empty()) return std::nullopt;
  if (bytes.json().is_number()) return bytes.number();
  double sum = 0;
  for (const auto& [dtype, node] : bytes.members()) sum += node.number().value_or(0);
  return sum;
}

/// The checkpoint as it is stored; without an inspection, as it lies in memory, where emulated layers may take more.
std::string bytes_tile(const ReportView& view) {
  const std::optional<double> base = weight_bytes(view.comparison["sides"]["reference"]);
  const std::optional<double> stored = inspected_checkpoint(view.inspect)["bytes"].number();
  const std::optional<double> ours =
      stored ? stored : weight_bytes(view.comparison["sides"]["candidate"]);
  if (!ours) return "";
  return tile(
      stored ? "Checkpoint" : "Weights in memory", bytes_text(ours),
      base && *base > 0 ? fmt::format("{} of {}", percent(*ours / *base), bytes_text(base)) : "");
}

std::string speed_tile(const ReportView& view) {
  const Node denoise = view.bench["speedup"]["denoise"];
  const std::optional<double> ratio = denoise["ratio"].number();
  if (!ratio) return "";
  std::string detail = "of the medians";
  if (denoise["low"].number() && denoise["high"].number()) {
    detail =
        fmt::format("{} – {}", times(denoise["low"].number()), times(denoise["high"].number()));
  }
  return tile("Denoising speed", times(ratio), detail);
}

std::string tiles(const ReportView& view) {
  std::vector<std::string> all = {
      cosine_tile(view),
      frame_tile(view, "Worst PSNR", "psnr", &FrameView::psnr_db),
      frame_tile(view, "Worst SSIM", "ssim", &FrameView::ssim),
      frame_tile(view, "Worst CLIP similarity", "clip", &FrameView::clip),
      noise_tile(view),
      bytes_tile(view),
      speed_tile(view)};
  all.erase(std::remove(all.begin(), all.end(), ""), all.end());
  if (all.empty()) return "";
  // Rows of about equal length.
  const std::size_t columns = all.size() <= 5 ? all.size() : (all.size() + 1) / 2;
  return fmt::format("<dl class=\"tiles\" style=\"--columns:{}\">\n{}</dl>\n", columns,
                     fmt::join(all, ""));
}

/// What was compared, in a line: "FP8 against BF16 · 24 runs · 1024 × 1024 · 50 steps · cuda".
std::string subtitle(const ReportView& view) {
  const Node settings = view.comparison["settings"].empty() ? view.comparison["sampling_kwargs"]
                                                            : view.comparison["settings"];
  const auto whole = [&](const char* key) {
    const std::optional<double> value = settings[key].number();
    return value ? fmt::format("{:.0f}", *value) : std::string();
  };
  std::vector<std::string> parts;
  if (!whole("width").empty()) parts.push_back(whole("width") + " × " + whole("height"));
  if (!whole("num_inference_steps").empty()) {
    parts.push_back(whole("num_inference_steps") + " steps");
  }
  parts.push_back(counted(view.runs.size(), "run"));
  if (!settings["device"].empty()) parts.push_back(settings["device"].text());
  return fmt::format("{}", fmt::join(parts, " · "));
}

std::string scheme_name(const std::string& scheme) {
  if (scheme.starts_with("nvfp4")) return "NVFP4";
  if (scheme.starts_with("fp8")) return "FP8";
  if (scheme == "bf16") return "BF16";
  return scheme;
}

std::string last_part(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path.substr(path.rfind('/') + 1);
}

}  // namespace

std::string default_title(const ReportView& view) {
  const Node sides = view.comparison["sides"];
  const std::string model = last_part(view.comparison["model_path"].text());
  std::string candidate = scheme_name(sides["candidate"]["scheme"].text());
  std::string reference = scheme_name(sides["reference"]["scheme"].text());
  if (candidate.empty()) candidate = scheme_name(view.doctor["scheme"].text());
  if (candidate.empty()) candidate = "Candidate";
  if (reference.empty()) reference = candidate == "Candidate" ? "reference" : "the reference";
  return (model.empty() ? "" : model + ": ") + candidate + " against " + reference;
}

std::string verdict_section(const ReportView& view, const std::string& title) {
  return fmt::format(
      "<header>\n<p class=\"eyebrow\">Quantization report</p>\n<h1>{}</h1>\n"
      "<p class=\"subtitle\">{}</p>\n{}{}</header>\n",
      foreign(title), escaped(subtitle(view)), verdict_box(view), tiles(view));
}

}  // namespace ditq
