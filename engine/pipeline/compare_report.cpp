#include "pipeline/compare_report.h"

#include <algorithm>
#include <filesystem>

#include "pipeline/aggregate.h"
#include "pipeline/confidence.h"
#include "pipeline/metrics.h"
#include "pipeline/noise_error.h"
#include "pipeline/versions.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

Json path_or_null(const std::string& path) {
  return path.empty() ? Json(nullptr) : Json(fs::weakly_canonical(fs::absolute(path)).string());
}

Json generation_json(const SideRuns& side,
                     const std::string& picture,
                     const CompareRequest& request) {
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
          {"output_file_path", path_or_null(picture)}};
}

Json text_or_null(const std::string& text) {
  return text.empty() ? Json(nullptr) : Json(text);
}

/// Everything that both sides share.
Json settings_json(const CompareRequest& request, const CheckpointRuns& runs) {
  const PictureRequest& made = runs.settings;
  const RunOptions& run = request.generate.run;
  Json seeds = Json::array();
  for (const ComparedRun& one : runs.runs) {
    if (std::find(seeds.begin(), seeds.end(), Json(*one.seed)) == seeds.end()) {
      seeds.push_back(*one.seed);
    }
  }
  return {{"width", made.width},
          {"height", made.height},
          {"num_inference_steps", made.steps},
          {"guidance_scale", made.guidance_scale},
          {"true_cfg_scale", made.true_cfg_scale},
          {"negative_prompt", made.negative_prompt},
          {"max_sequence_length", made.max_sequence_length},
          {"seeds", seeds},
          {"prompts", request.generate.prompts},
          {"latents", text_or_null(made.latents)},
          {"generator_device", made.generator_device},
          {"dtype", run.dtype},
          {"device", runs.device},
          {"clip_tokenizer", run.clip_tokenizer},
          {"nvfp4_activations", run.nvfp4_activations},
          {"fp8_accumulation", run.fp8_accumulation},
          {"kernel_table", text_or_null(run.kernel_table)},
          {"fp8_attention_steps", run.fp8_attention_steps},
          {"vae_tiling", runs.vae_tiling},
          {"dit_cpu_offload", run.dit_cpu_offload},
          {"warmup_runs", request.warmup_runs},
          {"measure_runs", request.measure_runs},
          {"clip_image_encoder", text_or_null(request.clip_image_encoder)}};
}

/// SGLang's object with the relative L2 error of every step.
Json trajectory_json(const TrajectoryMetrics& metrics) {
  Json out = to_json(metrics);
  for (std::size_t i = 0; i < metrics.steps.size(); ++i) {
    out["per_step_metrics"][i]["relative_l2"] = metrics.steps[i].relative_l2;
  }
  return out;
}

Json number_at(const std::vector<double>& values, std::size_t index) {
  return index < values.size() ? Json(values[index]) : Json(nullptr);
}

/// SGLang's object with the metrics of every frame.
Json output_json(const OutputMetrics& metrics) {
  Json out = to_json(metrics);
  out["frames"] = Json::array();
  for (std::size_t i = 0; i < metrics.frames.size(); ++i) {
    Json frame = to_json(metrics.frames[i]);
    frame["ssim"] = number_at(metrics.ssim, i);
    frame["clip_similarity"] = number_at(metrics.clip, i);
    out["frames"].push_back(std::move(frame));
  }
  return out;
}

/// How many decoded values were no numbers; null for files, which hold 8 bits.
Json non_finite_json(const ResultHealth& health) {
  return health.decoded_values > 0 ? Json(health.non_finite_pixels) : Json(nullptr);
}

Json run_json(const ComparedRun& run, std::size_t index) {
  const RunMeasurements& measured = run.measured;
  return {{"index", index},
          {"prompt", run.prompt ? Json(*run.prompt) : Json(nullptr)},
          {"seed", run.seed ? Json(*run.seed) : Json(nullptr)},
          {"trajectory_metrics",
           measured.trajectory ? trajectory_json(*measured.trajectory) : Json(nullptr)},
          {"output_metrics", measured.output ? output_json(*measured.output) : Json(nullptr)},
          {"picture_findings",
           {{"reference", to_json(findings_of(run.reference))},
            {"candidate", to_json(findings_of(run.candidate))}}},
          {"non_finite_pixels",
           {{"reference", non_finite_json(run.reference)},
            {"candidate", non_finite_json(run.candidate)}}},
          {"output_files",
           {{"reference", path_or_null(run.reference_file)},
            {"candidate", path_or_null(run.candidate_file)}}}};
}

/// A member of the report by its path, or null where the inputs do not give it.
Json lookup(const Json& report, const char* pointer) {
  const Json::json_pointer at(pointer);
  return report.contains(at) ? report.at(at) : Json(nullptr);
}

}  // namespace

Json checkpoints_report(const CompareRequest& request, const CheckpointRuns& runs) {
  const PictureRequest& made = runs.settings;
  const ComparedRun& first = runs.runs.front();
  return {
      {"model_path", request.generate.sources.model_path},
      {"prompt", *first.prompt},
      {"seed", *first.seed},
      {"warmup_runs", request.warmup_runs},
      {"measure_runs", request.measure_runs},
      {"server_kwargs", request.server_kwargs},
      {"backend_overrides",
       {{"reference_fp4_gemm_backend", runs.reference.fp4_backend},
        {"candidate_fp4_gemm_backend", runs.candidate.fp4_backend}}},
      {"sampling_kwargs",
       {{"width", made.width},
        {"height", made.height},
        {"num_frames", nullptr},
        {"num_inference_steps", made.steps},
        {"guidance_scale", made.guidance_scale},
        {"guidance_scale_2", nullptr}}},
      {"reference_generation", generation_json(runs.reference, first.reference_file, request)},
      {"candidate_generation", generation_json(runs.candidate, first.candidate_file, request)},
      {"settings", settings_json(request, runs)},
      {"sides", {{"reference", runs.reference.document}, {"candidate", runs.candidate.document}}}};
}

void add_measurements(Json& report,
                      const std::vector<ComparedRun>& runs,
                      const Measurements& measured) {
  const RunMeasurements& first = runs.front().measured;
  if (first.trajectory) report["trajectory_metrics"] = trajectory_json(*first.trajectory);
  if (first.output) report["output_metrics"] = to_json(*first.output);
  report["runs"] = Json::array();
  for (std::size_t i = 0; i < runs.size(); ++i) report["runs"].push_back(run_json(runs[i], i));
  report["aggregate"] = aggregate_json(measured);
  if (measured.noise) report["noise_error"] = to_json(*measured.noise);
}

void add_verdicts(Json& report,
                  const CompareRequest& request,
                  const std::vector<HeldBar>& bars,
                  const std::vector<std::string>& findings) {
  bool passed = findings.empty();
  Json held = Json::array();
  for (const HeldBar& bar : bars) {
    passed = passed && bar.verdict.holds;
    held.push_back({{"metric", bar.requirement.name()},
                    {"op", bar.requirement.op},
                    {"bar", bar.requirement.bar},
                    {"value", bar.verdict.value},
                    {"holds", bar.verdict.holds},
                    {"sentence", bar.verdict.sentence}});
  }
  report["gate"] = {{"passed", passed}, {"bars", held}, {"findings", findings}};
  report["versions"] = version_document();
  report["command"] = request.generate.command;
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

}  // namespace ditq
