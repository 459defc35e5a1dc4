#include "pipeline/compare.h"

#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "pipeline/clip_similarity.h"
#include "pipeline/compare_files.h"
#include "pipeline/compare_report.h"
#include "pipeline/compare_runs.h"
#include "pipeline/metrics.h"
#include "pipeline/output_place.h"
#include "pipeline/requirements.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

void require_counts(const CompareRequest& request) {
  if (request.warmup_runs < 0) {
    throw Error(ErrorCode::usage, "--warmup-runs must be at least 0");
  }
  if (request.measure_runs < 1) {
    throw Error(ErrorCode::usage, "--measure-runs must be at least 1");
  }
  if (request.generate.prompts.empty()) {
    throw Error(ErrorCode::usage, "there is nothing to compare",
                {.expected = "a --prompt", .found = "0"});
  }
  if (request.generate.num_outputs_per_prompt != 1) {
    throw Error(ErrorCode::usage, "one picture is compared at a time");
  }
  if (request.seeds.size() > 1 && !request.generate.latents.empty()) {
    throw Error(ErrorCode::usage, "--seeds has no effect on the latents of --latents",
                {.expected = "one of the two"});
  }
}

/// Holds the bars and looks for defects; says what holds.
void judge(const std::vector<ComparedRun>& runs,
           const Measurements& measured,
           const std::vector<Requirement>& requirements,
           const CompareRequest& request,
           CompareResult& out) {
  std::vector<HeldBar> bars;
  for (const Requirement& requirement : requirements) {
    bars.push_back({requirement, check(requirement, measured)});
    const Verdict& verdict = bars.back().verdict;
    if (verdict.holds)
      log_info(verdict.sentence + ": holds");
    else
      out.missed.push_back(missed_sentence(requirement, verdict));
  }
  out.findings = new_defects(runs);
  add_verdicts(out.report, request, bars, out.findings);
}

/// Completes and writes the report.
CompareResult finish(const CompareRequest& request,
                     Json report,
                     const std::vector<ComparedRun>& runs,
                     const Measurements& measured,
                     const std::vector<Requirement>& requirements) {
  CompareResult out{
      .report = std::move(report), .brief = {}, .missed = {}, .findings = {}, .pictures = {}};
  add_measurements(out.report, runs, measured);
  judge(runs, measured, requirements, request, out);
  out.brief = brief_of(out.report, request.output_json);
  if (measured.noise) out.brief["noise_l2"] = measured.noise->noise_l2();
  if (!request.output_json.empty()) {
    make_folder(fs::path(request.output_json).parent_path().string());
    write_text(request.output_json, dump_json(out.report, {.indent = 2, .sort_keys = true}));
  }
  return out;
}

/// What compares pictures by CLIP's embeddings; empty where nobody asked for it.
PictureSimilarity load_clip(const CompareRequest& request) {
  if (request.clip_image_encoder.empty()) return {};
  return [clip = std::make_shared<const ClipSimilarity>(request.clip_image_encoder)](
             const Picture& reference, const Picture& candidate) {
    return (*clip)(reference, candidate);
  };
}

CompareResult compare_checkpoints(const CompareRequest& request) {
  require_counts(request);
  const auto requirements =
      parse_requirements(request.require, {.trajectory = true,
                                           .frames = true,
                                           .noise = true,
                                           .clip = !request.clip_image_encoder.empty()});
  if (request.generate.num_inference_steps) {
    select_step(request.trajectory_step_index, *request.generate.num_inference_steps);
  }
  require_writable_folder(request.save_output_dir);
  const bool noise = request.generate.prompts.size() > 1 || asks_for(requirements, "noise_l2");
  CheckpointRuns runs = run_checkpoints(request, noise, load_clip(request));
  Measurements measured = measurements_of(runs.runs);
  measured.noise = std::move(runs.noise);
  CompareResult out =
      finish(request, checkpoints_report(request, runs), runs.runs, measured, requirements);
  out.pictures = std::move(runs.pictures);
  return out;
}

CompareResult compare_saved(const CompareRequest& request) {
  const ResultKind kind = common_result_kind(request.reference_file, request.candidate_file);
  const bool trajectories = kind == ResultKind::trajectory;
  const auto requirements = parse_requirements(
      request.require, {.trajectory = trajectories,
                        .frames = !trajectories,
                        .clip = !trajectories && !request.clip_image_encoder.empty()});
  if (!request.save_output_dir.empty()) {
    throw Error(ErrorCode::usage, "--save-output-dir does not go with --reference and --candidate",
                {.advice = "Nothing is generated that could be saved"});
  }
  if (trajectories && !request.clip_image_encoder.empty()) {
    throw Error(ErrorCode::usage, "--clip-image-encoder compares pictures, not trajectories");
  }
  SavedResults saved = measure_files(request, kind, requirements, load_clip(request));
  CompareResult out = finish(request, std::move(saved.report), {saved.run},
                             measurements_of({saved.run}), requirements);
  out.pictures = std::move(saved.pictures);
  return out;
}

}  // namespace

CompareResult compare(const CompareRequest& request) {
  require_writable_file(request.output_json);
  const bool saved = !request.reference_file.empty() || !request.candidate_file.empty();
  return saved ? compare_saved(request) : compare_checkpoints(request);
}

}  // namespace ditq
