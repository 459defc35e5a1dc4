#include "pipeline/generate.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/progress.h"
#include "format/safetensors.h"
#include "pipeline/device.h"
#include "pipeline/kernel_table.h"
#include "pipeline/output_place.h"
#include "pipeline/perf.h"
#include "tensor/create.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

void check_request(const GenerateRequest& request) {
  if (request.prompts.empty())
    throw Error(ErrorCode::usage, "no prompt: give --prompt or --prompts-file");
  if (request.num_outputs_per_prompt < 1) {
    throw Error(
        ErrorCode::usage, "--num-outputs-per-prompt is out of range",
        {.expected = "at least 1", .found = std::to_string(request.num_outputs_per_prompt)});
  }
  if (request.tune_kernels && request.run.kernel_table.empty()) {
    throw Error(ErrorCode::usage, "--tune-kernels keeps what it finds in a file",
                {.expected = "--kernel-table FILE"});
  }
  if (request.tune_kernels) require_writable_file(request.run.kernel_table);
}

/// Loads, and searches kernels where the request asks for it. Errors: those of both; unsupported without a GPU.
std::unique_ptr<Pipeline> load(const GenerateRequest& request) {
  if (!request.tune_kernels) return load_pipeline(request.sources, request.run);
  const at::Device device = choose_device(request.run.device);
  if (!device.is_cuda()) {
    throw Error(ErrorCode::unsupported, "--tune-kernels is for GPUs",
                {.expected = "--device cuda", .found = device_name(device)});
  }
  RunOptions run = request.run;
  if (!fs::exists(run.kernel_table)) run.kernel_table.clear();
  auto pipeline = load_pipeline(request.sources, run);
  PictureRequest picture = pipeline->resolve(request);
  picture.prompt = request.prompts.front();
  tune_kernels(pipeline->first_step(picture), request.run.kernel_table, device);
  return pipeline;
}

/// "a large red circle" becomes "a_large_red_circle"; other characters are dropped, at most 60 are kept.
std::string file_stem(const std::string& prompt) {
  std::string stem;
  for (const char c : prompt) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0)
      stem += static_cast<char>(std::tolower(byte));
    else if (!stem.empty() && stem.back() != '_')
      stem += '_';
    if (stem.size() == 60) break;
  }
  while (!stem.empty() && stem.back() == '_') stem.pop_back();
  return stem.empty() ? "picture" : stem;
}

/// Names of the files of one run: equal stems get a number.
class Stems {
 public:
  explicit Stems(const GenerateRequest& request)
      : given_(fs::path(request.output_file_name).stem().string()),
        several_(request.prompts.size() > 1 || request.num_outputs_per_prompt > 1) {}

  std::string next(const Generation& generation) {
    std::string stem = given_;
    if (given_.empty()) {
      stem = fmt::format("{}_seed{}", file_stem(generation.prompt), generation.seed);
    } else if (several_) {
      stem += fmt::format("_{}", count_);
    }
    ++count_;
    const int before = seen_[stem]++;
    return before == 0 ? stem : fmt::format("{}_{}", stem, before);
  }

 private:
  std::string given_;
  bool several_;
  int count_ = 0;
  std::map<std::string, int> seen_;
};

Json request_document(const GenerateRequest& request,
                      const Generation& generation,
                      const PictureRequest& resolved,
                      const AttentionBackend& attention) {
  return {{"model_path", request.sources.model_path},
          {"prompt", generation.prompt},
          {"seed", generation.seed},
          {"width", generation.picture.width},
          {"height", generation.picture.height},
          {"num_inference_steps", resolved.steps},
          {"guidance_scale", resolved.guidance_scale},
          {"true_cfg_scale", resolved.true_cfg_scale},
          {"negative_prompt", resolved.negative_prompt},
          {"max_sequence_length", resolved.max_sequence_length},
          {"initial_latents", resolved.latents.empty() ? "seed" : "file"},
          {"generator_device", resolved.generator_device},
          {"clip_tokenizer", request.run.clip_tokenizer},
          {"attention_backend", attention.name()},
          {"fp8_attention_steps", attention.fp8 ? Json(attention.range) : Json(nullptr)},
          {"dit_cpu_offload", request.run.dit_cpu_offload},
          {"dtype", request.run.dtype}};
}

/// Writes what one generation gives and notes it in the result.
void write_outputs(const GenerateRequest& request,
                   const PictureRequest& resolved,
                   const AttentionBackend& attention,
                   const Generation& generation,
                   const std::string& stem,
                   GenerateResult& result) {
  Json entry = {{"prompt", generation.prompt}, {"seed", generation.seed}};
  if (request.save_output) {
    write_png(stem + ".png", generation.picture, {{"prompt", generation.prompt}});
    result.pictures.push_back(stem + ".png");
    entry["picture"] = result.pictures.back();
  }
  if (request.return_trajectory_latents) {
    write_trajectory(stem + ".safetensors", generation,
                     request_document(request, generation, resolved, attention));
    result.trajectories.push_back(stem + ".safetensors");
    entry["trajectory"] = result.trajectories.back();
  }
  entry["total_duration_ms"] = generation.timings.total;
  result.summary["outputs"].push_back(entry);
}

}  // namespace

namespace {

/// What people must know about NVFP4 on a device without FP4 units: nothing falls back silently.
void log_nvfp4(const PipelineDescription& pipeline) {
  std::size_t layers = 0;
  std::size_t quantized = 0;
  std::size_t without_input_scale = 0;
  for (const LayerRecord& layer : pipeline.layers) {
    if (!layer.scheme.starts_with("nvfp4")) continue;
    ++layers;
    if (layer.activations == "fp4") ++quantized;
    if (layer.lacks_input_scale) ++without_input_scale;
  }
  if (pipeline.fp4_backend && !pipeline.fp4_backend->reason.empty()) {
    log_warning(fmt::format("FP4 backend: {}; {} runs instead", pipeline.fp4_backend->reason,
                            pipeline.fp4_backend->running));
  }
  if (layers == 0) return;
  log_info(fmt::format("{} has no FP4 unit: {}", pipeline.device,
                       quantized > 0 ? "activations are quantized to FP4 as one would see them "
                                       "(--nvfp4-activations bf16 keeps them)"
                                     : "activations stay as they are"));
  if (without_input_scale > 0) {
    log_warning(
        fmt::format("{} of {} NVFP4 layers have no input_scale: their activations are not "
                    "quantized",
                    without_input_scale, layers));
  }
}

}  // namespace

void log_summary(const PipelineDescription& pipeline, const std::string& name) {
  std::map<std::string, int> schemes;
  std::map<std::string, int> arithmetics;
  for (const LayerRecord& layer : pipeline.layers) {
    ++schemes[layer.scheme];
    if (layer.arithmetic != "real") ++arithmetics[layer.arithmetic];
  }
  std::string layers;
  for (const auto& [scheme, count] : schemes) {
    layers += fmt::format("{}{} {}", layers.empty() ? "" : " + ", count, scheme);
  }
  log_info(fmt::format("{}: {}{}, {} ({} linear layers), {} on {}, arithmetic {}", name,
                       pipeline.family, pipeline.variant.empty() ? "" : " " + pipeline.variant,
                       pipeline.scheme, layers, pipeline.dtype, pipeline.device,
                       arithmetics.empty() ? "real" : "real and emulated"));
  for (const auto& [arithmetic, count] : arithmetics) {
    log_verbose(fmt::format("  {} layers {}", count, arithmetic));
  }
  log_nvfp4(pipeline);
  const AttentionBackend& attention = pipeline.attention;
  if (!attention.fp8) return;
  log_info(fmt::format("attention: FP8 ({}) in steps {} of all, {} in the others", attention.kernel,
                       attention.range, attention.plain_name()));
}

void run_generations(Pipeline& pipeline,
                     const GenerateRequest& request,
                     bool keep_states,
                     const std::function<void(Generation&&)>& done) {
  check_request(request);
  PictureRequest picture = pipeline.resolve(request);
  picture.keep_states = keep_states;
  const auto outputs = static_cast<std::uint64_t>(request.num_outputs_per_prompt);
  ProgressBar bar("denoising",
                  request.prompts.size() * outputs * static_cast<std::uint64_t>(picture.steps),
                  "step");
  for (const std::string& prompt : request.prompts) {
    for (std::uint64_t i = 0; i < outputs; ++i) {
      picture.prompt = prompt;
      picture.seed = request.seed + i;
      done(pipeline.generate(picture, [&bar] { bar.advance(); }));
    }
  }
  bar.finish();
}

std::vector<Generation> run_generations(Pipeline& pipeline,
                                        const GenerateRequest& request,
                                        bool keep_states) {
  std::vector<Generation> out;
  run_generations(pipeline, request, keep_states,
                  [&](Generation&& generation) { out.push_back(std::move(generation)); });
  return out;
}

void write_trajectory(const std::string& path, const Generation& generation, const Json& request) {
  const Trajectory& trajectory = generation.trajectory;
  const std::vector<std::pair<std::string, Tensor>> tensors{
      {"initial_latents", trajectory.initial_latents.contiguous()},
      {"latents", trajectory.latents.contiguous()},
      {"sigmas", from_values(trajectory.sigmas)},
      {"timesteps", from_values(trajectory.timesteps)}};
  std::vector<TensorData> data;
  for (const auto& [name, tensor] : tensors) {
    data.push_back({name, dtype_of(tensor.scalar_type()), shape_of(tensor), bytes_of(tensor)});
  }
  const std::string temporary = path + ".tmp";
  try {
    write_safetensors(temporary, data, {{"format", "pt"}, {"request", dump_json(request)}});
    fs::rename(temporary, path);
  } catch (...) {
    std::error_code ignored;
    fs::remove(temporary, ignored);
    throw;
  }
}

void pin(GenerateRequest& request, const PictureRequest& resolved) {
  request.height = resolved.height;
  request.width = resolved.width;
  request.num_inference_steps = resolved.steps;
  request.guidance_scale = resolved.guidance_scale;
  request.true_cfg_scale = resolved.true_cfg_scale;
  request.max_sequence_length = resolved.max_sequence_length;
}

GenerateResult generate(const GenerateRequest& request) {
  check_request(request);
  const bool writes_files = request.save_output || request.return_trajectory_latents;
  if (writes_files) make_folder(request.output_path);
  const auto pipeline = load(request);
  log_summary(pipeline->description(), request.sources.model_path);
  const PictureRequest resolved = pipeline->resolve(request);

  GenerateResult result;
  result.summary = {{"outputs", Json::array()}};
  Stems stems(request);
  Json perf;
  RunSettings settings{.picture = resolved, .run = request.run};
  // Each picture is on disk before the next one begins: an interrupt costs the one at hand.
  run_generations(*pipeline, request, request.return_trajectory_latents,
                  [&](Generation&& generation) {
                    const fs::path stem = fs::path(request.output_path) / stems.next(generation);
                    write_outputs(request, resolved, pipeline->description().attention, generation,
                                  stem.string(), result);
                    perf = perf_document(generation, pipeline->description(), settings,
                                         request.sources.model_path, request.command);
                    ++settings.warmup_runs;
                  });
  if (!request.perf_dump_path.empty()) {
    make_folder(fs::path(request.perf_dump_path).parent_path().string());
    write_text(request.perf_dump_path, dump_json(perf, {.indent = 2}));
    result.perf_dump = request.perf_dump_path;
    result.summary["perf_dump"] = result.perf_dump;
  }
  return result;
}

}  // namespace ditq
