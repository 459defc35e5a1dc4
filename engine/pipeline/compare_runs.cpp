#include "pipeline/compare_runs.h"

#include <chrono>
#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "base/progress.h"
#include "pipeline/generate.h"
#include "pipeline/latent_health.h"
#include "pipeline/metrics.h"
#include "pipeline/noise_error.h"
#include "pipeline/output_place.h"
#include "pipeline/perf.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

/// One run of the reference, kept while the candidate runs.
struct KeptRun {
  PictureRequest request;
  Generation result;
};

/// Runs one side's requests: the first one warmed up and measured, the others once.
class Side {
 public:
  /// `vae_tiling`: how the VAE decodes; nothing: as the request says.
  Side(const CompareRequest& request,
       const PipelineSources& sources,
       std::optional<bool> vae_tiling,
       const std::string& fp4_gemm_backend,
       const std::string& attention_backend,
       const char* name)
      : request_(request) {
    RunOptions options = request.generate.run;
    if (vae_tiling) options.vae_tiling = vae_tiling;
    if (!fp4_gemm_backend.empty()) options.fp4_gemm_backend = fp4_gemm_backend;
    if (!attention_backend.empty()) options.attention_backend = attention_backend;
    // The environment does not choose a side's FP4 backend: SGLang's tool clears the variable.
    options.fp4_backend_environment = false;
    pipeline_ = load_pipeline(sources, options);
    log_summary(pipeline_->description(), name);
    const std::optional<Fp4Backend>& fp4 = pipeline_->description().fp4_backend;
    if (fp4) facts.fp4_backend = fp4->requested;
    facts.document = side_document(pipeline_->description(), sources);
  }

  Pipeline& pipeline() { return *pipeline_; }

  /// `bar` advances by the steps of steps_of(request).
  Generation first(const PictureRequest& request, ProgressBar& bar) {
    for (std::int64_t i = 0; i < request_.warmup_runs; ++i) once(request, bar);
    Generation out;
    for (std::int64_t i = 0; i < request_.measure_runs; ++i) {
      using Clock = std::chrono::steady_clock;
      begin_peak_memory(pipeline_->description().device);
      const auto start = Clock::now();
      out = once(request, bar);
      facts.seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
      facts.milliseconds.push_back(out.timings.total);
      facts.peak_mb.push_back(peak_memory_mb(pipeline_->description().device));
    }
    return out;
  }

  Generation once(const PictureRequest& request, ProgressBar& bar) {
    return pipeline_->generate(request, [&bar] { bar.advance(); });
  }

  SideRuns facts;

 private:
  const CompareRequest& request_;
  std::unique_ptr<Pipeline> pipeline_;
};

/// Denoising steps of one side's runs.
std::uint64_t steps_of(const CompareRequest& request, std::size_t runs, std::int64_t steps) {
  const auto first = static_cast<std::uint64_t>(request.warmup_runs + request.measure_runs);
  return (first + runs - 1) * static_cast<std::uint64_t>(steps);
}

/// The reference's runs; with `noise` each with what it predicted. The first one's measured runs keep no predictions, so
/// that copying them counts in no timing: it runs once more.
std::vector<KeptRun> run_reference(Side& side,
                                   const PictureRequest& settings,
                                   const std::vector<PlannedRun>& plan,
                                   std::uint64_t steps,
                                   bool noise) {
  const std::uint64_t again = noise ? static_cast<std::uint64_t>(settings.steps) : 0;
  ProgressBar bar("reference", steps + again, "step");
  std::vector<KeptRun> out;
  for (const PlannedRun& run : plan) {
    PictureRequest request = settings;
    request.prompt = run.prompt;
    request.seed = run.seed;
    const bool first = out.empty();
    request.keep_noise = noise && !first;
    Generation result = first ? side.first(request, bar) : side.once(request, bar);
    if (noise && first) {
      request.keep_noise = true;
      result = side.once(request, bar);
    }
    out.push_back({.request = std::move(request), .result = std::move(result)});
  }
  bar.finish();
  return out;
}

ResultHealth health_of(const Generation& run) {
  return {.frames = {statistics_of(run.picture)},
          .decoded_values = static_cast<std::int64_t>(run.picture.pixels.size()),
          .non_finite_pixels = run.non_finite_pixels,
          .steps = latent_statistics(run.trajectory.latents)};
}

ComparedRun measured(const CompareRequest& request,
                     const Generation& reference,
                     const Generation& candidate,
                     const PictureSimilarity& clip) {
  ComparedRun out{.prompt = reference.prompt, .seed = reference.seed};
  out.measured.trajectory =
      trajectory_metrics({reference.trajectory.latents, reference.trajectory.timesteps},
                         {candidate.trajectory.latents, candidate.trajectory.timesteps},
                         request.trajectory_step_index);
  FrameComparison frames(clip);
  frames.add(reference.picture, candidate.picture);
  out.measured.output = frames.finish();
  out.reference = health_of(reference);
  out.candidate = health_of(candidate);
  return out;
}

/// "reference.png", or "reference-003.png" where there are several runs.
std::string picture_path(const std::string& folder,
                         const char* side,
                         std::size_t run,
                         std::size_t runs) {
  const std::string name =
      runs == 1 ? fmt::format("{}.png", side) : fmt::format("{}-{:03}.png", side, run);
  return (fs::path(folder) / name).string();
}

void save_pictures(const std::string& folder,
                   const ComparedPicture& pair,
                   std::size_t runs,
                   ComparedRun& run) {
  if (folder.empty()) return;
  run.reference_file = picture_path(folder, "reference", pair.run, runs);
  run.candidate_file = picture_path(folder, "candidate", pair.run, runs);
  write_png(run.reference_file, pair.reference, {{"prompt", pair.prompt}});
  write_png(run.candidate_file, pair.candidate, {{"prompt", pair.prompt}});
}

/// Asks the candidate at one run's states, and adds what it says.
void add_noise_error(Pipeline& candidate, KeptRun& kept, ProgressBar& bar, NoiseError& noise) {
  const std::vector<NoiseBaseline> baseline{noise_baseline(kept.request, std::move(kept.result))};
  NoiseError found = noise_error(candidate, baseline, [&bar] { bar.advance(); });
  noise.l2.push_back(std::move(found.l2.front()));
  noise.cosine.push_back(std::move(found.cosine.front()));
}

/// Runs the candidate on the reference's requests and measures each result against the reference's, which is let go then.
void run_candidate(const CompareRequest& request,
                   Side& side,
                   std::vector<KeptRun> kept,
                   const PictureSimilarity& clip,
                   CheckpointRuns& out) {
  const bool noise = kept.front().request.keep_noise;
  const std::uint64_t asked =
      noise ? kept.size() * static_cast<std::uint64_t>(out.settings.steps) : 0;
  ProgressBar bar("candidate", steps_of(request, kept.size(), out.settings.steps) + asked, "step");
  if (noise) out.noise.emplace();
  for (KeptRun& reference : kept) {
    PictureRequest again = reference.request;
    again.keep_noise = false;
    const std::size_t index = out.runs.size();
    Generation result = index == 0 ? side.first(again, bar) : side.once(again, bar);
    ComparedRun run = measured(request, reference.result, result, clip);
    out.pictures.push_back({.run = index,
                            .prompt = again.prompt,
                            .seed = again.seed,
                            .frame = "",
                            .reference = std::move(reference.result.picture),
                            .candidate = std::move(result.picture)});
    save_pictures(request.save_output_dir, out.pictures.back(), kept.size(), run);
    out.runs.push_back(std::move(run));
    if (noise) add_noise_error(side.pipeline(), reference, bar, *out.noise);
    reference = {};
  }
  bar.finish();
}

}  // namespace

std::vector<PlannedRun> planned_runs(const CompareRequest& request) {
  std::vector<PlannedRun> out;
  for (const std::string& prompt : request.generate.prompts) {
    for (const std::uint64_t seed : request.seeds) out.push_back({prompt, seed});
    if (request.seeds.empty()) out.push_back({prompt, request.generate.seed + out.size()});
  }
  return out;
}

CheckpointRuns run_checkpoints(const CompareRequest& request,
                               bool noise,
                               const PictureSimilarity& clip) {
  const std::vector<PlannedRun> plan = planned_runs(request);
  make_folder(request.save_output_dir);
  CheckpointRuns out;
  std::vector<KeptRun> kept;
  {
    Side side(request, request.reference, std::nullopt, request.reference_fp4_gemm_backend,
              request.reference_attention_backend, "reference");
    // What the request leaves open the reference decides, for the candidate too.
    out.settings = side.pipeline().resolve(request.generate);
    out.settings.keep_states = true;
    // A picture of NaNs is a finding here, with the numbers that led to it.
    out.settings.accept_non_finite = true;
    out.device = side.pipeline().description().device;
    select_step(request.trajectory_step_index, out.settings.steps);
    kept = run_reference(side, out.settings, plan,
                         steps_of(request, plan.size(), out.settings.steps), noise);
    out.reference = std::move(side.facts);
    out.vae_tiling = side.pipeline().description().vae_tiling;
  }
  Side side(request, request.candidate, out.vae_tiling, request.candidate_fp4_gemm_backend,
            request.candidate_attention_backend, "candidate");
  // Whether the candidate can do the same is its own to say.
  GenerateRequest decided = request.generate;
  pin(decided, out.settings);
  side.pipeline().resolve(decided);
  run_candidate(request, side, std::move(kept), clip, out);
  out.candidate = std::move(side.facts);
  return out;
}

}  // namespace ditq
