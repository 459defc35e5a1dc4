// Times, memory and clocks of a benchmark, with the sentences that say how to read them.

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "report/html.h"
#include "report/numbers.h"
#include "report/sections.h"

namespace ditq {
namespace {

/// A stage of a generation: its key in the document and its name.
struct Stage {
  const char* key;
  const char* name;
};
constexpr std::array<Stage, 3> kStacked = {
    {{"text", "text encoding"}, {"denoise", "denoising"}, {"decode", "decoding"}}};
constexpr std::array<Stage, 5> kRows = {{{"total", "Whole request"},
                                         {"text", "Text encoding"},
                                         {"denoise", "Denoising"},
                                         {"step", "One step"},
                                         {"decode", "Decoding"}}};
constexpr std::array<Stage, 2> kSides = {{{"reference", "Reference"}, {"candidate", "Candidate"}}};

std::optional<double> median(const Node& side, const char* stage) {
  return side[stage]["median_ms"].number();
}

/// What the whole request took beside the three stages; never negative.
double rest(const Node& side) {
  double out = median(side, "total").value_or(0);
  for (const Stage& stage : kStacked) out -= median(side, stage.key).value_or(0);
  return std::max(out, 0.0);
}

double whole(const Node& side) {
  double out = rest(side);
  for (const Stage& stage : kStacked) out += median(side, stage.key).value_or(0);
  return out;
}

std::string piece(const char* style, const char* name, double milliseconds, double most) {
  if (!(milliseconds > 0)) return "";
  return fmt::format("<span class=\"piece {}\" style=\"width:{:.2f}%\" title=\"{}: {}\"></span>",
                     style, milliseconds / most * 100, name, duration(milliseconds));
}

/// The stages of both sides as stacked bars on one scale.
std::string stacked_bars(const Node& bench) {
  double most = 0;
  for (const Stage& side : kSides) most = std::max(most, whole(bench[side.key]));
  if (!(most > 0) || !std::isfinite(most)) return "";
  std::string rows;
  for (const Stage& side : kSides) {
    const Node node = bench[side.key];
    std::string pieces;
    for (const Stage& stage : kStacked) {
      pieces += piece(stage.key, stage.name, median(node, stage.key).value_or(0), most);
    }
    pieces += piece("rest", "everything else", rest(node), most);
    rows += fmt::format(
        "<div class=\"stack\"><span class=\"side\">{}</span><span class=\"pieces\">{}</span>"
        "<span class=\"value\">{}</span></div>\n",
        side.name, pieces, duration(whole(node)));
  }
  return fmt::format(
      "<div class=\"stacks\" role=\"img\" aria-label=\"Median time of the stages; the table below "
      "has "
      "the numbers\">\n{}</div>\n<p class=\"legend\"><span class=\"key text\"></span>text encoding "
      "<span class=\"key denoise\"></span>denoising <span class=\"key decode\"></span>decoding "
      "<span class=\"key rest\"></span>everything else</p>\n",
      rows);
}

/// "842 ms (838 ms – 851 ms)"
std::string time_cell(const Node& stage) {
  const std::string middle = duration(stage["median_ms"].number());
  if (!stage["min_ms"].number() || !stage["max_ms"].number()) return middle;
  return fmt::format("{} <small>{} – {}</small>", middle, duration(stage["min_ms"].number()),
                     duration(stage["max_ms"].number()));
}

std::string ratio_cell(const Node& speedup) {
  const std::string middle = times(speedup["ratio"].number());
  if (!speedup["low"].number() || !speedup["high"].number()) return middle;
  return fmt::format("{} <small>{} – {}</small>", middle, times(speedup["low"].number()),
                     times(speedup["high"].number()));
}

std::string megabytes(std::optional<double> value) {
  return value ? bytes_text(*value * (1 << 20)) : bytes_text(std::nullopt);
}

std::string times_table(const Node& bench) {
  HtmlTable table(
      "Medians of the measured runs",
      {{"Stage"}, {"Reference", "number"}, {"Candidate", "number"}, {"Speed-up", "number"}});
  for (const Stage& row : kRows) {
    const Node reference = bench["reference"][row.key];
    const Node candidate = bench["candidate"][row.key];
    if (reference.empty() && candidate.empty()) continue;
    table.add({row.name, time_cell(reference), time_cell(candidate),
               ratio_cell(bench["speedup"][row.key])});
  }
  const auto add = [&](const char* name, const std::string& a, const std::string& b,
                       const std::string& ratio) {
    if (a != "–" || b != "–") table.add({name, a, b, ratio});
  };
  add("Peak memory", megabytes(bench["reference"]["peak_memory_mb"].number()),
      megabytes(bench["candidate"]["peak_memory_mb"].number()),
      bench["peak_memory_ratio"].empty()
          ? "–"
          : times(bench["peak_memory_ratio"].number()) + " <small>of the memory</small>");
  const auto load = [&](const char* side) {
    const std::optional<double> seconds = bench[side]["load_s"].number();
    return duration(seconds ? std::optional(*seconds * 1000) : std::nullopt);
  };
  add("Loading", load("reference"), load("candidate"), "–");
  return table.html();
}

std::string reading(const Node& bench) {
  std::string items;
  for (const Node& sentence : bench["reading"].items()) {
    items += "<li>" + foreign(sentence.text()) + "</li>\n";
  }
  return items.empty() ? "" : "<h3>How to read it</h3>\n<ul>\n" + items + "</ul>\n";
}

std::string measured_words(const Node& bench) {
  std::string order;
  for (const Node& side : bench["order"].items()) {
    order += side.text() == "reference" ? "A " : side.text() == "candidate" ? "B " : "? ";
  }
  std::string out = "Times are medians, with the least and the most beside them.";
  if (const auto runs = bench["measure_runs"].number()) {
    out += fmt::format(" {} a visit", counted(static_cast<std::size_t>(*runs), "measured run"));
    if (const auto warmup = bench["warmup_runs"].number()) {
      out += fmt::format(" after {}", counted(static_cast<std::size_t>(*warmup), "warm-up run"));
    }
    out += order.empty() ? "." : fmt::format(", in the order {}(A the reference).", order);
  }
  return "<p class=\"lead\">" + out + "</p>\n";
}

/// A state's readings by name, those of a part as "gpu temperature".
std::vector<std::pair<std::string, std::string>> readings(const Node& state) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& [key, value] : state.members()) {
    if (value.json().is_object()) {
      for (const auto& [name, reading] : value.members()) {
        // Counts since the machine started; what they say of a visit stands among the sentences.
        if (reading.empty() || name == "processor_seconds") continue;
        out.emplace_back(key + " " + name, value_text(reading.json()));
      }
    } else if (!value.empty()) {
      out.emplace_back(key, value_text(value.json()));
    }
  }
  return out;
}

/// What was read of the device during the visits: a column for everything that some state has.
std::string device_table(const Node& bench) {
  std::vector<std::string> names;
  std::vector<std::pair<const char*, std::map<std::string, std::string>>> rows;
  for (const Stage& side : kSides) {
    for (const Node& state : bench[side.key]["device_state"].items()) {
      rows.emplace_back(side.name, std::map<std::string, std::string>());
      for (const auto& [name, reading] : readings(state)) {
        if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
        rows.back().second[name] = reading;
      }
    }
  }
  if (names.empty()) return "";
  std::vector<HtmlTable::Column> columns = {{"Side"}};
  for (const std::string& name : names) columns.push_back({name, "number"});
  HtmlTable table("Clocks, temperature and power", columns);
  for (const auto& [side, readings_of_row] : rows) {
    std::vector<std::string> cells = {side};
    for (const std::string& name : names) {
      const auto found = readings_of_row.find(name);
      cells.push_back(found == readings_of_row.end() ? "–" : escaped(found->second));
    }
    table.add(cells);
  }
  return folded("Clocks, temperature and power while it ran", table.html());
}

}  // namespace

std::string speed_section(const ReportView& view) {
  if (view.bench.empty()) return "";
  return section("speed", "Speed",
                 measured_words(view.bench) + stacked_bars(view.bench) + times_table(view.bench) +
                     reading(view.bench) + device_table(view.bench));
}

}  // namespace ditq
