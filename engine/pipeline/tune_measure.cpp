#include "pipeline/tune_measure.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/sha256.h"
#include "pipeline/components.h"
#include "pipeline/confidence.h"
#include "pipeline/generate.h"
#include "pipeline/metrics.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

/// Name, size and time of change of every file below a path.
void add_files(const std::string& path, Json& out) {
  std::vector<fs::path> files;
  if (fs::is_directory(path)) {
    for (const auto& entry : fs::recursive_directory_iterator(path)) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
  } else if (fs::exists(path)) {
    files.emplace_back(path);
  }
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) {
    const auto changed = fs::last_write_time(file).time_since_epoch();
    out.push_back({file.string(), fs::file_size(file),
                   std::chrono::duration_cast<std::chrono::nanoseconds>(changed).count()});
  }
}

Json files_of(const PipelineSources& sources) {
  Json out = Json::array();
  add_files(sources.model_path, out);
  for (const auto& [component, path] : sources.components) add_files(path, out);
  add_files(sources.transformer_weights_path, out);
  return out;
}

template <typename Value>
Json or_default(const std::optional<Value>& value) {
  return value ? Json(*value) : Json(nullptr);
}

std::string key_of(const std::set<std::string>& kept, std::int64_t pictures) {
  Sha256 digest;
  for (const std::string& module : kept) digest.update(module + "\n");
  return fmt::format("kept {} {} pictures {}", kept.size(), digest.finish(), pictures);
}

SetQuality quality_from(const Json& json) {
  SetQuality out{.noise_l2 = json.at("noise_l2").get<double>(),
                 .confidence = json.at("noise_l2_confidence").get<double>(),
                 .worst_cosine = json.at("worst_cosine").get<double>(),
                 .psnr_db = {},
                 .psnr_confidence = json.at("psnr_confidence").get<double>()};
  if (!json.at("psnr_db").is_null()) out.psnr_db = json.at("psnr_db").get<double>();
  return out;
}

constexpr const char* kTimesKey = "times";

/// Milliseconds of a layer in one picture; 0 where they were not measured.
double milliseconds(const SwitchedLayer::Side& side, double calls) {
  return std::isfinite(side.least_ms) ? side.least_ms * calls : 0;
}

}  // namespace

Json to_json(const SetQuality& quality) {
  return {{"noise_l2", quality.noise_l2},
          {"noise_l2_confidence", quality.confidence},
          {"worst_cosine", quality.worst_cosine},
          {"psnr_db", or_default(quality.psnr_db)},
          {"psnr_confidence", quality.psnr_confidence}};
}

std::string tune_fingerprint(const TuneRequest& request) {
  const GenerateRequest& made = request.generate;
  const Json inputs = {{"log", 1},
                       {"baseline", files_of(made.sources)},
                       {"candidate", files_of(request.candidate)},
                       {"prompts", made.prompts},
                       {"negative_prompt", made.negative_prompt},
                       {"seed", made.seed},
                       {"height", or_default(made.height)},
                       {"width", or_default(made.width)},
                       {"steps", or_default(made.num_inference_steps)},
                       {"guidance", or_default(made.guidance_scale)},
                       {"true_cfg", or_default(made.true_cfg_scale)},
                       {"text", or_default(made.max_sequence_length)},
                       {"latents", made.latents},
                       {"device", made.run.device},
                       {"dtype", made.run.dtype},
                       {"nvfp4_activations", made.run.nvfp4_activations}};
  Sha256 digest;
  digest.update(dump_json(inputs));
  return digest.finish();
}

SetMeasurer::SetMeasurer(const TuneRequest& request, TuneLog& log)
    : request_(request),
      log_(log),
      pair_(load_switched_pipeline(
          request.generate.sources, request.candidate, request.generate.run)) {
  if (pair_.layers->layers().empty()) {
    throw Error(ErrorCode::not_quantized, "no layer of the candidate is quantized",
                {.advice = "--candidate takes a transformer with every layer quantized, such as an "
                           "export of 'ditq quantize'"});
  }
  log_summary(description(), request.generate.sources.model_path);
  const PictureRequest resolved = pair_.pipeline->resolve(request.generate);
  ProgressBar bar("baseline",
                  request.generate.prompts.size() * static_cast<std::uint64_t>(resolved.steps),
                  "step");
  baseline_ = record_noise(*pair_.pipeline, request.generate, [&bar] { bar.advance(); });
  bar.finish();
  read_costs();
}

void SetMeasurer::read_costs() {
  const auto calls_of = [this](const SwitchedLayer& layer) {
    return static_cast<double>(layer.plain.calls) / static_cast<double>(baseline_.size());
  };
  std::map<std::string, double> calls;
  for (const auto& [module, layer] : pair_.layers->layers()) calls[module] = calls_of(layer);
  if (log_.find(kTimesKey) == nullptr) {
    run({});
    Json times = Json::object();
    for (const auto& [module, layer] : pair_.layers->layers()) {
      times[module] = {milliseconds(layer.plain, calls[module]),
                       milliseconds(layer.other, calls[module])};
    }
    log_.add(kTimesKey, std::move(times));
  }
  const Json& times = *log_.find(kTimesKey);
  for (const auto& [module, layer] : pair_.layers->layers()) {
    const auto plain = times.at(module).at(0).get<double>();
    const auto quantized = times.at(module).at(1).get<double>();
    const std::uint64_t more =
        layer.plain.bytes > layer.other.bytes ? layer.plain.bytes - layer.other.bytes : 0;
    costs_[module] = {.bytes = more, .milliseconds = plain - quantized};
    quantized_bytes_ += layer.other.bytes;
    plain_bytes_ += layer.plain.bytes;
    quantized_ms_ += quantized;
  }
}

NoiseError SetMeasurer::run(const std::set<std::string>& kept) {
  pair_.layers->keep(kept);
  pair_.pipeline->layers_changed();
  return noise_error(*pair_.pipeline, baseline_, [] {});
}

void SetMeasurer::add_pictures(SetQuality& quality) {
  std::vector<double> psnr;
  const auto count =
      std::min<std::size_t>(static_cast<std::size_t>(request_.psnr_prompts), baseline_.size());
  for (std::size_t i = 0; i < count; ++i) {
    PictureRequest picture = baseline_[i].request;
    picture.keep_states = false;
    picture.keep_noise = false;
    const Generation made = pair_.pipeline->generate(picture, [] {});
    const FrameMetrics metrics =
        frame_metrics(frame_tensor(baseline_[i].picture), frame_tensor(made.picture));
    psnr.push_back(std::min(metrics.psnr_db, kMostPsnr));
  }
  if (psnr.empty()) return;
  quality.psnr_db = mean(psnr);
  quality.psnr_confidence = confidence_95(psnr);
}

SetQuality SetMeasurer::measure(const std::set<std::string>& kept) {
  const std::string key = key_of(kept, request_.psnr_prompts);
  if (const Json* known = log_.find(key)) return quality_from(*known);
  const NoiseError error = run(kept);
  SetQuality out{.noise_l2 = error.noise_l2(),
                 .confidence = error.confidence(),
                 .worst_cosine = error.worst_cosine(),
                 .psnr_db = {},
                 .psnr_confidence = 0};
  add_pictures(out);
  log_.add(key, to_json(out));
  return out;
}

}  // namespace ditq
