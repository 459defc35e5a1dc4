#include "perf/bench_report.h"

#include <algorithm>
#include <functional>

#include "base/error.h"
#include "perf/comparison.h"
#include "perf/samples.h"

namespace ditq {
namespace {

using Measure = std::function<double(const PerfFile&)>;

double median_step(const PerfFile& perf) {
  return perf.denoise_steps_ms.empty() ? 0 : summarize(perf.denoise_steps_ms).median;
}

/// What is told apart, in the report's order.
const std::vector<std::pair<const char*, Measure>>& measures() {
  static const std::vector<std::pair<const char*, Measure>> kMeasures = {
      {"total", [](const PerfFile& perf) { return perf.total_ms; }},
      {"text", [](const PerfFile& perf) { return parts_of(perf).text_ms; }},
      {"denoise", [](const PerfFile& perf) { return parts_of(perf).denoise_ms; }},
      {"decode", [](const PerfFile& perf) { return parts_of(perf).decode_ms; }},
      {"step", median_step},
  };
  return kMeasures;
}

std::vector<double> measured(const BenchSide& side, const Measure& measure) {
  std::vector<double> out;
  for (const BenchRun& run : side.runs) out.push_back(measure(run.perf));
  return out;
}

Json peak_of(const BenchSide& side) {
  const auto peak = median_run(side.runs).peak_reserved_mb;
  return peak ? Json(*peak) : Json(nullptr);
}

Json run_json(const BenchRun& run) {
  const PerfParts parts = parts_of(run.perf);
  const auto& peak = run.perf.peak_reserved_mb;
  return {{"perf", run.perf_path.empty() ? Json(nullptr) : Json(run.perf_path)},
          {"visit", run.visit},
          {"total_ms", run.perf.total_ms},
          {"text_ms", parts.text_ms},
          {"denoise_ms", parts.denoise_ms},
          {"decode_ms", parts.decode_ms},
          {"other_ms", parts.other_ms},
          {"steps_ms", run.perf.denoise_steps_ms},
          {"peak_memory_mb", peak ? Json(*peak) : Json(nullptr)}};
}

Json side_json(const BenchSide& side) {
  Json out = side.description;
  out["runs"] = Json::array();
  for (const BenchRun& run : side.runs) out["runs"].push_back(run_json(run));
  for (const auto& [name, measure] : measures()) {
    out[name] = milliseconds_json(summarize(measured(side, measure)));
  }
  out["peak_memory_mb"] = peak_of(side);
  out["load_s"] =
      side.load_seconds.empty() ? Json(nullptr) : Json(summarize(side.load_seconds).median);
  out["loads_s"] = side.load_seconds;
  out["device_state"] = side.device_state;
  return out;
}

/// The median over the runs of one value of each; runs that lack it do not count.
double median_over(const std::vector<BenchRun>& runs,
                   const std::function<std::optional<double>(const PerfFile&)>& value) {
  std::vector<double> values;
  for (const BenchRun& run : runs) {
    if (const auto one = value(run.perf)) values.push_back(*one);
  }
  return summarize(std::move(values)).median;
}

std::optional<double> stage_time(const PerfFile& perf, const std::string& name) {
  for (const PerfStage& stage : perf.stages) {
    if (stage.name == name) return stage.milliseconds;
  }
  return std::nullopt;
}

}  // namespace

PerfFile median_run(const std::vector<BenchRun>& runs) {
  DITQ_ASSERT(!runs.empty());
  PerfFile out = runs.front().perf;
  out.path = "median";
  out.total_ms = median_over(runs, [](const PerfFile& perf) { return perf.total_ms; });
  for (PerfStage& stage : out.stages) {
    stage.milliseconds =
        median_over(runs, [&](const PerfFile& perf) { return stage_time(perf, stage.name); });
  }
  for (std::size_t i = 0; i < out.denoise_steps_ms.size(); ++i) {
    out.denoise_steps_ms[i] = median_over(runs, [i](const PerfFile& perf) -> std::optional<double> {
      if (i >= perf.denoise_steps_ms.size()) return std::nullopt;
      return perf.denoise_steps_ms[i];
    });
  }
  for (const BenchRun& run : runs) {
    const auto& peak = run.perf.peak_reserved_mb;
    if (peak) out.peak_reserved_mb = std::max(out.peak_reserved_mb.value_or(0), *peak);
  }
  return out;
}

Json bench_results(const BenchRuns& runs) {
  Json speedups = Json::object();
  for (const auto& [name, measure] : measures()) {
    speedups[name] =
        to_json(speedup(measured(runs.reference, measure), measured(runs.candidate, measure)));
  }
  PerfFile reference = median_run(runs.reference.runs);
  PerfFile candidate = median_run(runs.candidate.runs);
  reference.path = "reference (medians)";
  candidate.path = "candidate (medians)";
  const double peak = reference.peak_reserved_mb.value_or(0);
  return {{"reference", side_json(runs.reference)},
          {"candidate", side_json(runs.candidate)},
          {"speedup", speedups},
          {"peak_memory_ratio", peak > 0 && candidate.peak_reserved_mb
                                    ? Json(*candidate.peak_reserved_mb / peak)
                                    : Json(nullptr)},
          {"comparison", to_json(compare_perf(reference, candidate))},
          {"reading", bench_reading(runs)}};
}

}  // namespace ditq
