#include "perf/comparison.h"

#include <algorithm>
#include <numeric>
#include <string_view>

namespace ditq {
namespace {

bool is_denoising(std::string_view stage) {
  return (stage.ends_with("DenoisingStage") || stage.ends_with("RefinementStage")) &&
         !stage.starts_with("Before");
}

double denoise_latency(const PerfFile& file) {
  double stages = 0;
  double loop = 0;
  bool has_stage = false;
  for (const PerfStage& stage : file.stages) {
    if (stage.name == kDenoisingLoop) loop = stage.milliseconds;
    if (!is_denoising(stage.name)) continue;
    has_stage = true;
    stages += stage.milliseconds;
  }
  if (has_stage) return stages;
  if (file.denoise_steps_ms.empty()) return loop;
  return std::accumulate(file.denoise_steps_ms.begin(), file.denoise_steps_ms.end(), 0.0);
}

const PerfStage* find_stage(const PerfFile& file, const std::string& name) {
  const auto found = std::find_if(file.stages.begin(), file.stages.end(),
                                  [&](const PerfStage& stage) { return stage.name == name; });
  return found == file.stages.end() ? nullptr : &*found;
}

StageRow row_of(const std::string& name, const PerfStage* baseline, const PerfStage* candidate) {
  StageRow out{.name = name};
  if (baseline != nullptr) {
    out.baseline_ms = baseline->milliseconds;
    out.baseline_entries = baseline->entries;
  }
  if (candidate != nullptr) {
    out.candidate_ms = candidate->milliseconds;
    out.candidate_entries = candidate->entries;
  }
  out.change = stage_change(out.baseline_ms, out.candidate_ms);
  return out;
}

std::optional<double> peak_gb(const PerfFile& file) {
  if (!file.peak_reserved_mb) return std::nullopt;
  return *file.peak_reserved_mb / 1024;
}

/// Both values of a pair, their difference, and the difference in percent.
Json pair_json(double baseline, double candidate) {
  return {{"baseline_ms", baseline},
          {"candidate_ms", candidate},
          {"change_ms", candidate - baseline},
          {"change_percent",
           baseline == 0 ? Json(nullptr) : Json((candidate - baseline) / baseline * 100)}};
}

Json optional_json(const std::optional<double>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json stage_json(const StageRow& row) {
  Json out = {{"name", row.name}};
  out.update(pair_json(row.baseline_ms, row.candidate_ms));
  out["baseline_entries"] = row.baseline_entries;
  out["candidate_entries"] = row.candidate_entries;
  out["status"] = name(row.change);
  return out;
}

}  // namespace

const char* name(Change change) {
  switch (change) {
    case Change::better:
      return "better";
    case Change::worse:
      return "worse";
    default:
      return "similar";
  }
}

Change end_to_end_change(double baseline_ms, double candidate_ms) {
  constexpr double kPercent = 2;
  if (baseline_ms == 0) return Change::similar;
  const double percent = (candidate_ms - baseline_ms) / baseline_ms * 100;
  if (percent < -kPercent) return Change::better;
  return percent > kPercent ? Change::worse : Change::similar;
}

Change stage_change(double baseline_ms, double candidate_ms) {
  constexpr double kRelative = 0.1;
  constexpr double kAbsolute = 120;
  if (candidate_ms > std::max(baseline_ms * (1 + kRelative), baseline_ms + kAbsolute)) {
    return Change::worse;
  }
  if (candidate_ms < std::min(baseline_ms * (1 - kRelative), baseline_ms - kAbsolute)) {
    return Change::better;
  }
  return Change::similar;
}

PerfParts parts_of(const PerfFile& file) {
  PerfParts out{.denoise_ms = denoise_latency(file)};
  for (const PerfStage& stage : file.stages) {
    const std::string_view name = stage.name;
    if (name.ends_with("TextEncodingStage")) out.text_ms += stage.milliseconds;
    if (name.ends_with("DecodingStage")) out.decode_ms += stage.milliseconds;
  }
  out.other_ms = std::max(0.0, file.total_ms - out.text_ms - out.denoise_ms - out.decode_ms);
  return out;
}

PerfComparison compare_perf(const PerfFile& baseline, const PerfFile& candidate) {
  PerfComparison out{.baseline = baseline.path,
                     .candidate = candidate.path,
                     .baseline_ms = baseline.total_ms,
                     .candidate_ms = candidate.total_ms,
                     .change = end_to_end_change(baseline.total_ms, candidate.total_ms),
                     .baseline_parts = parts_of(baseline),
                     .candidate_parts = parts_of(candidate),
                     .baseline_peak_gb = peak_gb(baseline),
                     .candidate_peak_gb = peak_gb(candidate),
                     .stages = {}};
  for (const PerfStage& stage : candidate.stages) {
    out.stages.push_back(row_of(stage.name, find_stage(baseline, stage.name), &stage));
  }
  for (const PerfStage& stage : baseline.stages) {
    if (find_stage(candidate, stage.name) != nullptr) continue;
    out.stages.push_back(row_of(stage.name, &stage, nullptr));
  }
  return out;
}

Json to_json(const PerfComparison& comparison) {
  Json end_to_end = pair_json(comparison.baseline_ms, comparison.candidate_ms);
  end_to_end["status"] = name(comparison.change);
  const PerfParts& before = comparison.baseline_parts;
  const PerfParts& after = comparison.candidate_parts;
  Json stages = Json::array();
  for (const StageRow& row : comparison.stages) stages.push_back(stage_json(row));
  return {{"baseline", comparison.baseline},
          {"candidate", comparison.candidate},
          {"end_to_end", end_to_end},
          {"denoise", pair_json(before.denoise_ms, after.denoise_ms)},
          {"text", pair_json(before.text_ms, after.text_ms)},
          {"decode", pair_json(before.decode_ms, after.decode_ms)},
          {"other", pair_json(before.other_ms, after.other_ms)},
          {"peak_memory_gb",
           {{"baseline", optional_json(comparison.baseline_peak_gb)},
            {"candidate", optional_json(comparison.candidate_peak_gb)}}},
          {"stages", stages}};
}

}  // namespace ditq
