#include "pipeline/compare.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>

#include <fmt/format.h>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/progress.h"
#include "pipeline/compare_files.h"
#include "pipeline/confidence.h"
#include "pipeline/generate.h"
#include "pipeline/metrics.h"
#include "pipeline/noise_error.h"
#include "pipeline/output_place.h"
#include "pipeline/perf.h"
#include "pipeline/pipeline.h"
#include "pipeline/requirements.h"
#include "pipeline/ssim.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

/// What one side's measured runs took, and the last one's result.
struct SideRun {
  Generation result;
  std::vector<double> seconds;          ///< each run, from request to picture
  std::vector<double> milliseconds;     ///< each run, as the pipeline measured itself
  std::vector<double> peak_mb;          ///< each run, this process
  std::string fp4_backend = "default";  ///< as it was asked for
  std::string picture_path;             ///< where the picture was saved, or empty
};

void require_counts(const CompareRequest& request) {
  const auto refuse = [](const char* what, const char* expected, std::size_t found) {
    throw Error(ErrorCode::usage, what, {.expected = expected, .found = std::to_string(found)});
  };
  if (request.warmup_runs < 0) {
    throw Error(ErrorCode::usage, "--warmup-runs must be at least 0");
  }
  if (request.measure_runs < 1) {
    throw Error(ErrorCode::usage, "--measure-runs must be at least 1");
  }
  const GenerateRequest& generate = request.generate;
  if (generate.prompts.empty()) refuse("there is nothing to compare", "a --prompt", 0);
  if (generate.num_outputs_per_prompt != 1) {
    throw Error(ErrorCode::usage, "one picture is compared at a time");
  }
}

/// Starts a new peak of resident memory, so that a run is not charged with the one before it.
/// Source: proc(5), clear_refs.
void reset_peak_memory() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;
  if (!file)
    log_verbose("this kernel keeps the process's highest peak of memory: peaks can only grow");
}

SideRun measure(Pipeline& pipeline, const GenerateRequest& request, const CompareRequest& counts) {
  using Clock = std::chrono::steady_clock;
  for (std::int64_t i = 0; i < counts.warmup_runs; ++i) {
    run_generations(pipeline, request, /*keep_states=*/true);
  }
  SideRun out;
  if (pipeline.description().fp4_backend) {
    out.fp4_backend = pipeline.description().fp4_backend->requested;
  }
  for (std::int64_t i = 0; i < counts.measure_runs; ++i) {
    reset_peak_memory();
    const auto start = Clock::now();
    std::vector<Generation> results = run_generations(pipeline, request, /*keep_states=*/true);
    out.seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    out.result = std::move(results.front());
    out.milliseconds.push_back(out.result.timings.total);
    out.peak_mb.push_back(process_memory().peak_mb);
  }
  return out;
}

/// Writes the reference's choices into the request, so that the candidate cannot make other ones.
void pin(GenerateRequest& request, const PictureRequest& resolved) {
  request.height = resolved.height;
  request.width = resolved.width;
  request.num_inference_steps = resolved.steps;
  request.guidance_scale = resolved.guidance_scale;
  request.true_cfg_scale = resolved.true_cfg_scale;
  request.max_sequence_length = resolved.max_sequence_length;
}

struct BothRuns {
  GenerateRequest request;  ///< with nothing left open, and the first prompt
  std::optional<NoiseError> noise;
  SideRun reference;
  SideRun candidate;
};

/// One side's options. The environment does not choose its FP4 backend: SGLang's tool clears the variable.
RunOptions side_options(const CompareRequest& request,
                        const std::string& fp4_gemm_backend,
                        const std::string& attention_backend) {
  RunOptions out = request.generate.run;
  if (!fp4_gemm_backend.empty()) out.fp4_gemm_backend = fp4_gemm_backend;
  if (!attention_backend.empty()) out.attention_backend = attention_backend;
  out.fp4_backend_environment = false;
  return out;
}

/// Calls run(on_step) with a progress bar over all prompts and steps.
template <typename Run>
auto with_progress(const char* label, const GenerateRequest& request, const Run& run) {
  ProgressBar bar(label,
                  request.prompts.size() * static_cast<std::uint64_t>(*request.num_inference_steps),
                  "step");
  auto result = run([&bar] { bar.advance(); });
  bar.finish();
  return result;
}

BothRuns run_both(const CompareRequest& request, bool noise) {
  BothRuns out{.request = request.generate, .noise = {}, .reference = {}, .candidate = {}};
  out.request.prompts.resize(1);
  GenerateRequest all = request.generate;
  std::vector<NoiseBaseline> baseline;
  {
    const auto pipeline =
        load_pipeline(request.reference, side_options(request, request.reference_fp4_gemm_backend,
                                                      request.reference_attention_backend));
    log_summary(pipeline->description(), "reference");
    const PictureRequest resolved = pipeline->resolve(request.generate);
    select_step(request.trajectory_step_index, resolved.steps);
    pin(out.request, resolved);
    pin(all, resolved);
    out.reference = measure(*pipeline, out.request, request);
    if (noise) {
      baseline = with_progress("recording", all, [&](const std::function<void()>& on_step) {
        return record_noise(*pipeline, all, on_step);
      });
    }
  }
  const auto pipeline =
      load_pipeline(request.candidate, side_options(request, request.candidate_fp4_gemm_backend,
                                                    request.candidate_attention_backend));
  log_summary(pipeline->description(), "candidate");
  out.candidate = measure(*pipeline, out.request, request);
  if (noise) {
    out.noise = with_progress("predicting", all, [&](const std::function<void()>& on_step) {
      return noise_error(*pipeline, baseline, on_step);
    });
  }
  return out;
}

void save_pictures(BothRuns& runs, const std::string& folder) {
  if (folder.empty()) return;
  make_folder(folder);
  const auto save = [&](SideRun& side, const char* name) {
    side.picture_path = (fs::path(folder) / name).string();
    write_png(side.picture_path, side.result.picture, {{"prompt", side.result.prompt}});
  };
  save(runs.reference, "reference.png");
  save(runs.candidate, "candidate.png");
}

Measurements measure_runs(const CompareRequest& request,
                          const BothRuns& runs,
                          const std::vector<Requirement>& requirements) {
  const Generation& reference = runs.reference.result;
  const Generation& candidate = runs.candidate.result;
  Measurements out;
  out.trajectory =
      trajectory_metrics({reference.trajectory.latents, reference.trajectory.timesteps},
                         {candidate.trajectory.latents, candidate.trajectory.timesteps},
                         request.trajectory_step_index);
  out.output = output_metrics({frame_tensor(reference.picture)}, {frame_tensor(candidate.picture)});
  if (asks_for(requirements, "ssim")) {
    out.ssim.push_back(ssim(reference.picture, candidate.picture));
  }
  return out;
}

Json path_or_null(const std::string& path) {
  return path.empty() ? Json(nullptr) : Json(fs::weakly_canonical(fs::absolute(path)).string());
}

Json generation_json(const SideRun& side, const CompareRequest& request) {
  return {{"fp4_gemm_backend", side.fp4_backend},
          {"warmup_runs", request.warmup_runs},
          {"measure_runs", request.measure_runs},
          {"generation_time_s", side.seconds.back()},
          {"avg_generation_time_s", mean(side.seconds)},
          {"per_run_generation_time_s", side.seconds},
          {"peak_memory_mb", side.peak_mb.back()},
          {"max_peak_memory_mb", *std::max_element(side.peak_mb.begin(), side.peak_mb.end())},
          {"per_run_peak_memory_mb", side.peak_mb},
          {"total_duration_ms", side.milliseconds.back()},
          {"avg_total_duration_ms", mean(side.milliseconds)},
          {"per_run_total_duration_ms", side.milliseconds},
          {"output_file_path", path_or_null(side.picture_path)}};
}

Json runs_report(const CompareRequest& request, const BothRuns& runs) {
  const GenerateRequest& made = runs.request;
  return {{"model_path", request.generate.sources.model_path},
          {"prompt", made.prompts.front()},
          {"seed", made.seed},
          {"warmup_runs", request.warmup_runs},
          {"measure_runs", request.measure_runs},
          {"server_kwargs", request.server_kwargs},
          {"backend_overrides",
           {{"reference_fp4_gemm_backend", runs.reference.fp4_backend},
            {"candidate_fp4_gemm_backend", runs.candidate.fp4_backend}}},
          {"sampling_kwargs",
           {{"width", *made.width},
            {"height", *made.height},
            {"num_frames", nullptr},
            {"num_inference_steps", *made.num_inference_steps},
            {"guidance_scale", *made.guidance_scale},
            {"guidance_scale_2", nullptr}}},
          {"reference_generation", generation_json(runs.reference, request)},
          {"candidate_generation", generation_json(runs.candidate, request)}};
}

void add_metrics(Json& report, const Measurements& measured) {
  if (measured.trajectory) report["trajectory_metrics"] = to_json(*measured.trajectory);
  if (measured.output) report["output_metrics"] = to_json(*measured.output);
  if (measured.noise) report["noise_error"] = to_json(*measured.noise);
}

/// A member of the report by its path, or null where the inputs do not give it.
Json lookup(const Json& report, const char* pointer) {
  const Json::json_pointer at(pointer);
  return report.contains(at) ? report.at(at) : Json(nullptr);
}

Json brief_of(const Json& report, const std::string& output_json) {
  const auto find = [&](const char* pointer) { return lookup(report, pointer); };
  return {
      {"output_json", path_or_null(output_json)},
      {"trajectory_selected_step", find("/trajectory_metrics/selected_step_index")},
      {"reference_avg_generation_time_s", find("/reference_generation/avg_generation_time_s")},
      {"candidate_avg_generation_time_s", find("/candidate_generation/avg_generation_time_s")},
      {"trajectory_cosine", find("/trajectory_metrics/selected_step_metrics/cosine_similarity")},
      {"trajectory_mae", find("/trajectory_metrics/selected_step_metrics/mae")},
      {"frame0_psnr_db", find("/output_metrics/frame0_metrics/psnr_db")},
      {"frame0_mae", find("/output_metrics/frame0_metrics/mae")}};
}

/// Writes the report and holds the bars.
CompareResult finish(const CompareRequest& request,
                     Json report,
                     const Measurements& measured,
                     const std::vector<Requirement>& requirements) {
  add_metrics(report, measured);
  CompareResult out{.report = std::move(report), .brief = {}, .missed = {}};
  out.brief = brief_of(out.report, request.output_json);
  if (measured.noise) out.brief["noise_l2"] = measured.noise->noise_l2();
  if (!request.output_json.empty()) {
    make_folder(fs::path(request.output_json).parent_path().string());
    write_text(request.output_json, dump_json(out.report, {.indent = 2, .sort_keys = true}));
  }
  for (const Requirement& requirement : requirements) {
    const Verdict verdict = check(requirement, measured);
    if (verdict.holds)
      log_info(verdict.sentence + ": holds");
    else
      out.missed.push_back(verdict.sentence);
  }
  return out;
}

CompareResult compare_checkpoints(const CompareRequest& request) {
  require_counts(request);
  const auto requirements =
      parse_requirements(request.require, {.trajectory = true,
                                           .frames = true,
                                           .noise = true,
                                           .several = request.generate.prompts.size() > 1});
  if (request.generate.num_inference_steps) {
    select_step(request.trajectory_step_index, *request.generate.num_inference_steps);
  }
  require_writable_folder(request.save_output_dir);
  const bool noise = request.generate.prompts.size() > 1 || asks_for(requirements, "noise_l2");
  BothRuns runs = run_both(request, noise);
  Measurements measured = measure_runs(request, runs, requirements);
  measured.noise = runs.noise;
  save_pictures(runs, request.save_output_dir);
  return finish(request, runs_report(request, runs), measured, requirements);
}

CompareResult compare_saved(const CompareRequest& request) {
  const ResultKind kind = common_result_kind(request);
  const bool trajectories = kind == ResultKind::trajectory;
  const auto requirements =
      parse_requirements(request.require, {.trajectory = trajectories, .frames = !trajectories});
  if (!request.save_output_dir.empty()) {
    throw Error(ErrorCode::usage, "--save-output-dir does not go with --reference and --candidate",
                {.advice = "Nothing is generated that could be saved"});
  }
  const Measurements measured = measure_files(request, kind, requirements);
  return finish(request,
                {{"reference", request.reference_file}, {"candidate", request.candidate_file}},
                measured, requirements);
}

}  // namespace

CompareResult compare(const CompareRequest& request) {
  require_writable_file(request.output_json);
  const bool saved = !request.reference_file.empty() || !request.candidate_file.empty();
  return saved ? compare_saved(request) : compare_checkpoints(request);
}

}  // namespace ditq
