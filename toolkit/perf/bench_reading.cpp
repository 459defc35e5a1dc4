// How to read a benchmark, in sentences.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "perf/bench_report.h"
#include "perf/comparison.h"
#include "perf/samples.h"

namespace ditq {
namespace {

/// Below it a difference of whole runs is none (bridge reference 7.3): the measure for drift as well.
constexpr double kBand = 0.02;

std::vector<double> denoise_times(const BenchSide& side) {
  std::vector<double> out;
  for (const BenchRun& run : side.runs) out.push_back(parts_of(run.perf).denoise_ms);
  return out;
}

std::vector<double> total_times(const BenchSide& side) {
  std::vector<double> out;
  for (const BenchRun& run : side.runs) out.push_back(run.perf.total_ms);
  return out;
}

/// "1.32 times as fast as the reference" or "1.10 times as slow".
std::string factor(double ratio) {
  return ratio >= 1 ? fmt::format("{:.3g} times as fast as", ratio)
                    : fmt::format("{:.3g} times as slow as", 1 / ratio);
}

std::string interval(const Speedup& speedup) {
  return fmt::format("ratio {:.3f}, {:.3f} to {:.3f} with {:.0f} % confidence", speedup.ratio,
                     speedup.low, speedup.high, speedup.confidence * 100);
}

void read_denoising(const BenchRuns& runs, std::vector<std::string>& out) {
  const auto found = speedup(denoise_times(runs.reference), denoise_times(runs.candidate));
  if (!found) {
    out.emplace_back("denoising was not timed: nothing follows about the transformer");
    return;
  }
  if (found->is_within_spread()) {
    out.push_back(
        fmt::format("denoising: the difference is within the spread of the runs ({}): no gain and "
                    "no loss is shown; more --rounds narrow the interval",
                    interval(*found)));
    return;
  }
  out.push_back(fmt::format("denoising: the candidate is {} the reference ({})",
                            factor(found->ratio), interval(*found)));
  constexpr double kEnough = 0.95;
  if (found->confidence < kEnough) {
    out.emplace_back(
        "there are too few runs for an interval of 95 %: that takes four of each side");
  }
}

bool exchanges_transformer(const BenchRuns& runs) {
  return std::any_of(runs.differing.begin(), runs.differing.end(),
                     [](const std::string& name) { return name.starts_with("transformer"); });
}

/// The gain of a quantized transformer belongs in denoising; one elsewhere has another cause.
void read_place_of_gain(const BenchRuns& runs, std::vector<std::string>& out) {
  const PerfFile reference = median_run(runs.reference.runs);
  const PerfFile candidate = median_run(runs.candidate.runs);
  const double total = candidate.total_ms - reference.total_ms;
  const double denoise = parts_of(candidate).denoise_ms - parts_of(reference).denoise_ms;
  const std::string times = fmt::format("end to end: {:.1f} ms against {:.1f} ms",
                                        candidate.total_ms, reference.total_ms);
  const auto found = speedup(total_times(runs.reference), total_times(runs.candidate));
  constexpr double kMost = 0.5;
  if (!found || found->is_within_spread()) {
    out.push_back(times + ", within the spread of the runs");
  } else if (std::abs(total) <= kBand * reference.total_ms) {
    out.push_back(times + ", less than 2 % apart");
  } else if (denoise / total >= kMost) {
    out.push_back(
        fmt::format("{}; {:.0f} % of the difference lies in denoising, where that of a "
                    "transformer belongs",
                    times, std::min(1.0, denoise / total) * 100));
  } else if (exchanges_transformer(runs)) {
    out.push_back(
        fmt::format("{}, but denoising accounts for {:+.1f} ms of {:+.1f} ms only: a "
                    "transformer's checkpoint does not change the other stages, so this "
                    "is no gain or loss of the checkpoint",
                    times, denoise, total));
  } else {
    out.push_back(times + ", outside of denoising");
  }
}

/// Visits of one side whose times do not overlap.
void read_drift(const BenchSide& side, const char* name, std::vector<std::string>& out) {
  std::map<std::size_t, std::vector<double>> visits;
  for (const BenchRun& run : side.runs) {
    visits[run.visit].push_back(parts_of(run.perf).denoise_ms);
  }
  const auto by_median = [](const auto& a, const auto& b) {
    return summarize(a.second).median < summarize(b.second).median;
  };
  const auto [least, most] = std::minmax_element(visits.begin(), visits.end(), by_median);
  const Sample fast = summarize(least->second);
  const Sample slow = summarize(most->second);
  if (slow.least <= fast.most || slow.median <= fast.median * (1 + kBand)) return;
  out.push_back(
      fmt::format("the {}'s visits drift: denoising took {:.1f} ms in visit {} and {:.1f} ms in "
                  "visit {}; the machine was not the same all the time",
                  name, fast.median, least->first + 1, slow.median, most->first + 1));
}

/// What slowed the device down, by the names of its states.
void read_throttling(const BenchRuns& runs, std::vector<std::string>& out) {
  std::set<std::string> causes;
  for (const BenchSide* side : {&runs.reference, &runs.candidate}) {
    double events = -1;
    for (const Json& state : side->device_state) {
      const Json gpu = state.value("gpu", Json());
      if (gpu.is_object()) {
        for (const Json& cause : gpu.value("throttled_by", Json::array())) causes.insert(cause);
      }
      const Json cpu = state.value("cpu", Json());
      if (!cpu.is_object() || !cpu.value("throttle_events", Json()).is_number()) continue;
      const double now = cpu["throttle_events"];
      if (state.value("when", "") == "after" && events >= 0 && now > events)
        causes.insert("the CPU's thermal throttling");
      events = now;
    }
  }
  if (causes.empty()) return;
  out.push_back(
      fmt::format("the device lowered its clocks ({}): times are those of a throttled "
                  "device; compare the clocks in device_state",
                  fmt::join(causes, ", ")));
}

/// Processor time of others as a share of all, between two readings of one visit; 0 where it was not read.
double share_of_others(const Json& before, const Json& after) {
  const auto seconds = [](const Json& state) {
    const Json cpu = state.value("cpu", Json());
    return cpu.is_object() ? cpu.value("processor_seconds", Json()) : Json();
  };
  const Json first = seconds(before);
  const Json last = seconds(after);
  if (!first.is_object() || !last.is_object()) return 0;
  const auto passed = [&](const char* key) { return last.value(key, 0.0) - first.value(key, 0.0); };
  return passed("total") <= 0 ? 0 : (passed("busy") - passed("own")) / passed("total");
}

/// Of a CPU: the visit in which most of it was taken by others.
void read_others(const BenchRuns& runs, std::vector<std::string>& out) {
  if (runs.reference.runs.front().perf.settings.value("device", Json()) != "cpu") return;
  constexpr double kWorthSaying = 0.05;
  double most = kWorthSaying;
  std::string sentence;
  for (const BenchSide* side : {&runs.reference, &runs.candidate}) {
    const Json& states = side->device_state;
    for (std::size_t i = 0; i + 1 < states.size(); i += 2) {
      const double share = share_of_others(states[i], states[i + 1]);
      if (share <= most) continue;
      most = share;
      sentence = fmt::format("other work took {:.0f} % of the processors' time during visit {}",
                             100 * share, states[i].value("visit", 0) + 1);
    }
  }
  if (!sentence.empty()) out.push_back(sentence);
}

/// Without warm-up the first run after loading makes what later ones find made: kernels, graphs, caches.
void read_warmup(const BenchRuns& runs, std::vector<std::string>& out) {
  if (runs.reference.runs.front().perf.settings.value("warmup_runs", Json()) != 0) return;
  out.emplace_back(
      "nothing was warmed up: the first run after loading also makes what later runs find made");
}

void read_arithmetic(const BenchSide& side, const char* name, std::vector<std::string>& out) {
  const Json arithmetic = side.description.value("arithmetic", Json::object());
  if (!arithmetic.is_object()) return;
  std::int64_t emulated = 0;
  for (const auto& [kind, layers] : arithmetic.items()) {
    if (kind != "real" && layers.is_number_integer()) emulated += layers.get<std::int64_t>();
  }
  if (emulated == 0) return;
  out.push_back(
      fmt::format("{} of the {}'s layers run in emulated arithmetic here: their speed says nothing "
                  "about a device with units for them",
                  emulated, name));
}

/// SGLang's rule: a single transformer's override is not called a full model.
void read_scope(const BenchRuns& runs, std::vector<std::string>& out) {
  if (runs.differing.empty()) {
    out.emplace_back(
        "both sides are the same checkpoints: the differences are the noise of this machine");
    return;
  }
  std::vector<std::string> shared;
  for (const std::string& one : runs.components) {
    if (std::find(runs.differing.begin(), runs.differing.end(), one) == runs.differing.end()) {
      shared.push_back(one);
    }
  }
  if (shared.empty()) {
    out.push_back(fmt::format("exchanged: {}", fmt::join(runs.differing, ", ")));
    return;
  }
  out.push_back(
      fmt::format("exchanged: {}; shared by both sides: {}. This is no result of a full model",
                  fmt::join(runs.differing, ", "), fmt::join(shared, ", ")));
}

void read_memory(const BenchRuns& runs, std::vector<std::string>& out) {
  const auto reference = median_run(runs.reference.runs).peak_reserved_mb;
  const auto candidate = median_run(runs.candidate.runs).peak_reserved_mb;
  if (!reference || !candidate || *reference <= 0) return;
  out.push_back(fmt::format("peak memory: {:.2f} GB against {:.2f} GB ({:.3f} of it)",
                            *candidate / 1024, *reference / 1024, *candidate / *reference));
}

}  // namespace

std::vector<std::string> bench_reading(const BenchRuns& runs) {
  std::vector<std::string> out;
  read_scope(runs, out);
  read_denoising(runs, out);
  read_place_of_gain(runs, out);
  read_memory(runs, out);
  read_drift(runs.reference, "reference", out);
  read_drift(runs.candidate, "candidate", out);
  read_throttling(runs, out);
  read_others(runs, out);
  read_warmup(runs, out);
  read_arithmetic(runs.reference, "reference", out);
  read_arithmetic(runs.candidate, "candidate", out);
  return out;
}

}  // namespace ditq
