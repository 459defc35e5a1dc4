#include "bench_page.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include "text_table.h"

namespace ditq {
namespace {

using Align = TextTable::Align;

std::string paragraph(const std::string& text, std::size_t indent) {
  return std::string(indent, ' ') + wrap_text(text, terminal_columns(STDERR_FILENO), indent) + "\n";
}

std::string milliseconds(double value) {
  return fmt::format("{:.1f} ms", value);
}

/// "-12.3 %"; nothing of a baseline of 0.
std::string change(double baseline, double candidate) {
  if (baseline == 0) return {};
  return fmt::format("{:+.1f} %", (candidate - baseline) / baseline * 100);
}

std::string verdict(Change change, const Style& style) {
  switch (change) {
    case Change::better:
      return style.green("better");
    case Change::worse:
      return style.yellow("worse");
    default:
      return "similar";
  }
}

std::string gigabytes(const std::optional<double>& value) {
  return value ? fmt::format("{:.2f} GB", *value) : std::string("unknown");
}

std::string row_name(const StageRow& row) {
  if (row.name != kDenoisingLoop) return row.name;
  if (row.baseline_entries == row.candidate_entries)
    return fmt::format("{} ({} steps)", row.name, row.candidate_entries);
  return fmt::format("{} ({} and {} steps)", row.name, row.baseline_entries, row.candidate_entries);
}

void add_peaks(const PerfComparison& pair, TextTable& table) {
  const auto& before = pair.baseline_peak_gb;
  const auto& after = pair.candidate_peak_gb;
  if (!before && !after) return;
  table.add({"peak memory", gigabytes(before), gigabytes(after),
             before && after ? change(*before, *after) : std::string(), ""});
}

/// "1.324 (1.310 to 1.338)"; nothing where there is no ratio.
std::string ratio_text(const Json& speedup) {
  if (!speedup.is_object()) return {};
  return fmt::format("{:.3f} ({:.3f} to {:.3f})", speedup["ratio"].get<double>(),
                     speedup["low"].get<double>(), speedup["high"].get<double>());
}

std::string timed(const Json& sample) {
  return fmt::format("{:.1f} ms ±{:.1f} %", sample["median_ms"].get<double>(),
                     sample["spread"].get<double>() * 50);
}

std::string peak_text(const Json& megabytes) {
  if (!megabytes.is_number()) return "unknown";
  return gigabytes(megabytes.get<double>() / 1024);
}

}  // namespace

std::string comparison_page(const PerfComparison& pair,
                            const Fairness& fairness,
                            const Style& style) {
  TextTable table({"", "baseline", "candidate", "change", ""},
                  {Align::left, Align::right, Align::right, Align::right, Align::left});
  const auto row = [&](const std::string& name, double before, double after,
                       const std::string& status) {
    table.add({name, milliseconds(before), milliseconds(after), change(before, after), status});
  };
  const PerfParts& before = pair.baseline_parts;
  const PerfParts& after = pair.candidate_parts;
  row(style.bold("end to end"), pair.baseline_ms, pair.candidate_ms, verdict(pair.change, style));
  row("  denoising", before.denoise_ms, after.denoise_ms, "");
  row("  text", before.text_ms, after.text_ms, "");
  row("  decoding", before.decode_ms, after.decode_ms, "");
  row("  other", before.other_ms, after.other_ms, "");
  for (const StageRow& stage : pair.stages) {
    row(row_name(stage), stage.baseline_ms, stage.candidate_ms, verdict(stage.change, style));
  }
  add_peaks(pair, table);
  std::string out = style.bold(pair.candidate) + " against " + style.bold(pair.baseline) + "\n" +
                    table.format(style);
  out += paragraph(fmt::format("{} settings that both files know agree{}{}", fairness.equal.size(),
                               fairness.equal.empty() ? "" : ": ", fmt::join(fairness.equal, ", ")),
                   2);
  const auto unknown = [&](const char* who, const std::vector<std::string>& names) {
    if (names.empty()) return;
    out += paragraph(
        fmt::format("not judged, because only the {} tells: {}", who, fmt::join(names, ", ")), 2);
  };
  unknown("baseline", fairness.only_baseline);
  unknown("candidate", fairness.only_candidate);
  return out;
}

std::string bench_page(const Json& report, const Style& style) {
  TextTable table({"median", "reference", "candidate", "times as fast"},
                  {Align::left, Align::right, Align::right, Align::right});
  const Json& reference = report["reference"];
  const Json& candidate = report["candidate"];
  constexpr std::pair<const char*, const char*> kRows[] = {{"denoise", "denoising"},
                                                           {"step", "  one step"},
                                                           {"text", "text"},
                                                           {"decode", "decoding"},
                                                           {"total", "end to end"}};
  for (const auto& [key, title] : kRows) {
    table.add(
        {title, timed(reference[key]), timed(candidate[key]), ratio_text(report["speedup"][key])});
  }
  table.add({"peak memory", peak_text(reference["peak_memory_mb"]),
             peak_text(candidate["peak_memory_mb"]), ""});
  table.add({"loading", fmt::format("{:.1f} s", reference["load_s"].get<double>()),
             fmt::format("{:.1f} s", candidate["load_s"].get<double>()), ""});
  std::string out = table.format(style);
  for (const Json& sentence : report["reading"]) {
    out += "  " + style.dim("·") + " " +
           wrap_text(sentence.get<std::string>(), terminal_columns(STDERR_FILENO), 4) + "\n";
  }
  return out;
}

}  // namespace ditq
