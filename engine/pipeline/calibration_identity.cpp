#include "pipeline/calibration_identity.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"
#include "pipeline/components.h"

namespace ditq {
namespace {

/// Bytes of each tensor that tell one checkpoint from another: what a fine-tune changes, it changes everywhere.
constexpr std::size_t kSample = 4096;

void add_sample(const TensorView& tensors, Sha256& digest) {
  for (const auto& [name, tensor] : tensors.tensors()) {
    digest.update(
        fmt::format("{} {} {};", name, ditq::name(tensor.dtype), to_string(tensor.shape)));
    const TensorBytes data = tensors.read(name);
    digest.update(data.bytes.first(std::min(kSample, data.bytes.size())));
  }
}

/// Of all networks that a calibration runs.
std::string weights_sample(const PipelineSources& sources, const Pipeline& pipeline) {
  Sha256 digest;
  add_sample(pipeline.transformer_weights().tensors(), digest);
  const ComponentFolders folders(sources);
  for (const std::string& component : folders.names()) {
    if (!component.starts_with("text_encoder")) continue;
    const Weights weights = folders.weights(component, at::kFloat, at::kCPU);
    add_sample(weights.tensors(), digest);
  }
  return digest.finish();
}

std::string prompts_digest(const std::vector<std::string>& prompts) {
  Sha256 digest;
  for (const std::string& prompt : prompts) {
    digest.update(fmt::format("{}:", prompt.size()));
    digest.update(prompt);
  }
  return digest.finish();
}

Json latents_digest(const std::string& path) {
  if (path.empty()) return nullptr;
  Sha256 digest;
  digest.update(InputFile::open(path)->map());
  return digest.finish();
}

}  // namespace

Json calibration_identity(const CalibrateRequest& request,
                          const PictureRequest& settings,
                          const Pipeline& pipeline) {
  Json out = {{"algorithm", request.algorithm},
              {"model_class", pipeline.description().model_class},
              {"weights_sample_sha256", weights_sample(request.sources, pipeline)},
              {"prompts_sha256", prompts_digest(request.prompts)},
              {"prompts", request.prompts.size()},
              {"batch_size", request.batch_size},
              {"n_steps", settings.steps},
              {"height", settings.height},
              {"width", settings.width},
              {"guidance_scale", settings.guidance_scale},
              {"max_sequence_length", settings.max_sequence_length},
              {"seed", request.seed},
              {"latents_sha256", latents_digest(request.latents)},
              {"clip_tokenizer", request.run.clip_tokenizer},
              {"device", pipeline.description().device},
              {"dtype", pipeline.description().dtype}};
  if (request.algorithm == "svdquant") {
    out["lowrank"] = request.lowrank;
    out["block_size"] = request.block_size;
    out["svdquant_skip"] = request.svdquant_skip;
  }
  return out;
}

void check_identity(const Json& identity, const Json& found, const std::string& path) {
  for (const auto& [key, value] : identity.items()) {
    const Json other = found.is_object() && found.contains(key) ? found[key] : Json();
    if (other == value) continue;
    throw Error(ErrorCode::usage, "the file holds another calibration",
                {.path = path,
                 .expected = fmt::format("{} {}", key, dump_json(value)),
                 .found = dump_json(other),
                 .advice = "Name another file, or remove this one"});
  }
}

std::uint64_t noise_seed(std::uint64_t seed, std::int64_t pass, std::int64_t call) {
  // Steele, Lea and Flood 2014 (SplitMix64): neighbouring counters give unrelated seeds.
  const auto mix = [](std::uint64_t value) {
    value += 0x9E3779B97F4A7C15;
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
    return value ^ (value >> 31);
  };
  return mix(mix(mix(seed) ^ static_cast<std::uint64_t>(pass)) ^ static_cast<std::uint64_t>(call));
}

}  // namespace ditq
