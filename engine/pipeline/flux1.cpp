// Source: diffusers pipelines/flux/pipeline_flux.py 0.39 (order of operations, rounding, defaults).

#include "pipeline/flux1.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "convert/component_source.h"
#include "family/check_tensors.h"
#include "family/detect.h"
#include "family/registry.h"
#include "models/encoders/clip_text.h"
#include "models/encoders/t5.h"
#include "models/flux1.h"
#include "models/flux1_steps.h"
#include "models/vae/autoencoder_kl.h"
#include "pipeline/device.h"
#include "pipeline/latents_file.h"
#include "pipeline/memory_plan.h"
#include "pipeline/picture.h"
#include "pipeline/stopwatch.h"
#include "sampling/denoise.h"
#include "sampling/noise.h"
#include "tensor/create.h"
#include "text/tokenizer.h"

namespace ditq {
namespace {

constexpr std::int64_t kMaxTextTokens = 512;
constexpr std::int64_t kMaxSide = 16384;
constexpr std::int64_t kMaxSteps = 10000;
constexpr std::int64_t kDefaultSide = 1024;

std::string config_path(const ComponentFolders& folders, const char* component, const char* file) {
  return (std::filesystem::path(folders.folder(component)) / file).string();
}

/// What the text encoders give the transformer.
struct TextStates {
  Tensor txt;     ///< T5 states [1, Lt, joint_attention_dim]
  Tensor pooled;  ///< CLIP's pooled state [1, pooled_projection_dim]
};

class TextEncoders {
 public:
  TextEncoders(const ComponentFolders& folders,
               const RunOptions& options,
               at::ScalarType dtype,
               at::Device device)
      : clip_tokenizer_(load_clip_tokenizer(folders.folder("tokenizer"),
                                            options.clip_tokenizer == "slow"
                                                ? ClipTokenizerClass::slow
                                                : ClipTokenizerClass::fast)),
        t5_tokenizer_(load_t5_tokenizer(folders.folder("tokenizer_2"))),
        clip_(folders.weights("text_encoder", dtype, device),
              ClipTextConfig::parse(folders.document("text_encoder", "config.json"),
                                    config_path(folders, "text_encoder", "config.json"))),
        t5_(folders.weights("text_encoder_2", dtype, device),
            T5Config::parse(folders.document("text_encoder_2", "config.json"),
                            config_path(folders, "text_encoder_2", "config.json"))) {}

  std::int64_t t5_width() const { return t5_.config().d_model; }
  std::int64_t clip_width() const { return clip_.config().hidden_size; }

  TextStates operator()(const std::string& prompt, std::int64_t max_sequence_length) const {
    const Encoding clip =
        clip_tokenizer_->encode(prompt, clip_.config().max_positions, /*pad=*/true);
    const Encoding t5 = t5_tokenizer_->encode(prompt, max_sequence_length, /*pad=*/true);
    warn_truncated("CLIP", clip, clip_.config().max_positions);
    warn_truncated("T5", t5, max_sequence_length);
    return {.txt = t5_(from_values(t5.ids).unsqueeze(0)),
            .pooled = clip_(from_values(clip.ids).unsqueeze(0)).pooled};
  }

 private:
  static void warn_truncated(const char* encoder, const Encoding& encoding, std::int64_t limit) {
    if (!encoding.truncated) return;
    log_warning(fmt::format("{} takes {} tokens; this part of the prompt was cut off: '{}'",
                            encoder, limit, encoding.dropped));
  }

  std::unique_ptr<const Tokenizer> clip_tokenizer_;
  std::unique_ptr<const Tokenizer> t5_tokenizer_;
  ClipText clip_;
  T5Encoder t5_;
};

class Flux1Pipeline : public Pipeline {
 public:
  Flux1Pipeline(const ComponentFolders& folders,
                const TransformerSource& source,
                const RunOptions& options,
                at::Device device,
                std::shared_ptr<LayerSwitch> layers)
      : dtype_(options.dtype == "fp32" ? at::kFloat : at::kBFloat16),
        device_(device),
        text_(folders, options, dtype_, device),
        schedule_(
            FlowMatchConfig::parse(folders.document("scheduler", "scheduler_config.json"),
                                   config_path(folders, "scheduler", "scheduler_config.json"))),
        vae_(folders.weights("vae", dtype_, device),
             AutoencoderKlConfig::parse(folders.document("vae", "config.json"),
                                        config_path(folders, "vae", "config.json"))),
        weights_(source.tensors,
                 {.dtype = dtype_,
                  .quant = source.quant,
                  .nvfp4_activations = options.nvfp4_activations == "bf16" ? Nvfp4Activations::bf16
                                                                           : Nvfp4Activations::fp4,
                  .device = device,
                  .layer_switch = std::move(layers)}),
        transformer_(weights_, parse_flux1_dims(source.config, source.config_path)),
        steps_(transformer_),
        vae_tiling_(options.vae_tiling) {
    weights_.release_pages();
    check_components();
    describe(source, options);
    if (device_.is_cuda()) weight_bytes_ = cuda().memory().allocated;
  }

  const PipelineDescription& description() const override { return description_; }
  PictureRequest resolve(const GenerateRequest& request) const override;
  Generation generate(const PictureRequest& request, const std::function<void()>& on_step) override;
  PictureRequest resolve(const CalibrateRequest& request) const override;
  void denoise_batch(const BatchRequest& request,
                     LayerListener& listener,
                     const std::function<void()>& on_step) override;
  const Weights& transformer_weights() const override { return weights_; }
  Tensor predict_noise(const PictureRequest& request,
                       const Tensor& states,
                       const std::function<void()>& on_step) override;
  std::function<void()> first_step(const PictureRequest& request) override;
  void layers_changed() override { steps_.forget(); }

 private:
  /// A prompt as text encoders give it.
  using Encoder = std::function<TextStates(const std::string& prompt, std::int64_t text_length)>;

  /// Pixels of a packed latent: 2 x 2 cells of the VAE.
  std::int64_t patch_pixels() const { return 2 * vae_.config().scale(); }
  std::int64_t latent_side(std::int64_t pixels) const { return pixels / patch_pixels() * 2; }

  void check_components() const;
  void check_attention(const PictureRequest& request) const;
  void describe(const TransformerSource& source, const RunOptions& options);
  Tensor initial_latents(const PictureRequest& request, std::int64_t batch) const;
  Flux1Conditions conditions(const std::vector<std::string>& prompts,
                             const PictureRequest& settings,
                             const Encoder& encode) const;
  MemoryPlan plan_run(const PictureRequest& request);
  Tensor decode(const Tensor& latents, const PictureRequest& request) const;
  FlowMatchSchedule schedule_of(const PictureRequest& request) const;
  Velocity velocity(const PictureRequest& request,
                    const FlowMatchSchedule& schedule,
                    const Encoder& encode);

  at::ScalarType dtype_;
  at::Device device_;
  TextEncoders text_;
  FlowMatchConfig schedule_;
  AutoencoderKl vae_;
  Weights weights_;
  Flux1Transformer transformer_;
  Flux1Steps steps_;
  std::map<std::pair<std::string, std::int64_t>, TextStates> texts_;  ///< of predict_noise
  std::size_t weight_bytes_ = 0;    ///< of all components on a GPU
  MemoryPlan planned_;              ///< of the last run
  std::optional<bool> vae_tiling_;  ///< as asked for
  GenerationDefaults defaults_;
  PipelineDescription description_;
};

/// The components must fit each other, whoever brought them together. Errors: bad_config.
void Flux1Pipeline::check_components() const {
  const Flux1Dims& dims = transformer_.dims();
  std::string problems;
  const auto compare = [&](const char* what, std::int64_t ours, const char* other,
                           std::int64_t theirs) {
    if (ours == theirs) return;
    if (!problems.empty()) problems += "; ";
    problems += fmt::format("{} {} but {} {}", what, ours, other, theirs);
  };
  compare("transformer joint_attention_dim", dims.joint_attention_dim, "text_encoder_2 d_model",
          text_.t5_width());
  compare("transformer pooled_projection_dim", dims.pooled_projection_dim,
          "text_encoder hidden_size", text_.clip_width());
  compare("transformer in_channels / 4", dims.in_channels / 4, "vae latent_channels",
          vae_.config().latent_channels);
  compare("transformer out_channels", dims.out_channels, "in_channels", dims.in_channels);
  if (problems.empty()) return;
  throw Error(ErrorCode::bad_config, "the pipeline's components do not fit each other",
              {.path = weights_.path(), .found = problems});
}

/// The choice of an FP4 kernel, where it concerns anybody.
std::optional<Fp4Backend> fp4_backend(const TransformerSource& source,
                                      const RunOptions& options,
                                      const at::Device& device) {
  Fp4Backend backend = choose_fp4_backend(options, device.is_cuda());
  if (source.quant.scheme != Scheme::nvfp4 && backend.from == "default") return std::nullopt;
  if (source.quant.scheme != Scheme::nvfp4) backend.running = "none: no layer is NVFP4";
  return backend;
}

void Flux1Pipeline::describe(const TransformerSource& source, const RunOptions& options) {
  const Detection& detection = source.detection;
  if (detection.variant != nullptr) defaults_ = detection.variant->defaults;
  description_ = {
      .family = flux1_family().name,
      .variant = detection.variant == nullptr ? "" : detection.variant->name,
      .model_class = require_string(source.config, "_class_name", source.config_path),
      .scheme = std::string(name(source.quant.scheme)),
      .scheme_source = source.quant.source,
      .dtype = options.dtype,
      .device = device_name(device_),
      .attention = choose_attention_backend(
          options, {.device = device_, .dtype = dtype_, .head_dim = transformer_.dims().head_dim}),
      .fp4_backend = fp4_backend(source, options, device_),
      .layers = weights_.layers()};
  std::vector<std::string> unused = weights_.unused();
  // ModelOpt leaves the amax of attention's quantizers behind.
  std::erase_if(unused, [](const std::string& name) {
    return name.find("_quantizer.") != std::string::npos;
  });
  if (!unused.empty()) {
    log_warning(fmt::format("{}: {} tensors were not used, the first is '{}'",
                            source.checkpoint->path(), unused.size(), unused.front()));
  }
}

/// A value of the request within its bounds. Errors: usage.
std::int64_t bounded(const char* flag, std::int64_t value, std::int64_t least, std::int64_t most) {
  if (value >= least && value <= most) return value;
  throw Error(ErrorCode::usage, fmt::format("{} is out of range", flag),
              {.expected = fmt::format("{} to {}", least, most), .found = std::to_string(value)});
}

PictureRequest Flux1Pipeline::resolve(const GenerateRequest& request) const {
  PictureRequest out;
  out.negative_prompt = request.negative_prompt;
  out.seed = request.seed;
  out.height = bounded("--height", request.height.value_or(kDefaultSide), patch_pixels(), kMaxSide);
  out.width = bounded("--width", request.width.value_or(kDefaultSide), patch_pixels(), kMaxSide);
  out.steps = bounded("--num-inference-steps",
                      request.num_inference_steps.value_or(defaults_.steps), 1, kMaxSteps);
  out.guidance_scale = request.guidance_scale.value_or(defaults_.guidance);
  out.true_cfg_scale = request.true_cfg_scale.value_or(1.0);
  if (!std::isfinite(out.guidance_scale) || !std::isfinite(out.true_cfg_scale)) {
    throw Error(ErrorCode::usage, "--guidance-scale and --true-cfg-scale must be finite numbers");
  }
  out.max_sequence_length = bounded(
      "--max-sequence-length", request.max_sequence_length.value_or(defaults_.max_sequence_length),
      1, kMaxTextTokens);
  out.latents = request.latents;
  out.generator_device = request.generator_device;
  if (out.generator_device == "cuda" && !device_.is_cuda()) {
    throw Error(ErrorCode::unsupported, "noise can be drawn on the CPU only",
                {.expected = "--generator-device cpu", .found = "a run on the CPU"});
  }
  if (out.height % patch_pixels() != 0 || out.width % patch_pixels() != 0) {
    const std::int64_t step = patch_pixels();
    log_warning(fmt::format("height and width have to be multiples of {}: {} x {} becomes {} x {}",
                            step, out.width, out.height, out.width / step * step,
                            out.height / step * step));
  }
  check_attention(out);
  if (!out.negative_prompt.empty() && out.true_cfg_scale <= 1) {
    log_warning("--negative-prompt has no effect without --true-cfg-scale above 1");
  }
  return out;
}

PictureRequest Flux1Pipeline::resolve(const CalibrateRequest& request) const {
  const CalibrationDefaults defaults = flux1_family().calibration.value();
  return resolve(GenerateRequest{
      .sources = {},
      .run = {},
      .prompts = {},
      .negative_prompt = {},
      .height = request.height.value_or(defaults.height),
      .width = request.width.value_or(defaults.width),
      .num_inference_steps = request.n_steps,
      .guidance_scale = request.guidance_scale.value_or(defaults.guidance),
      .max_sequence_length = request.max_sequence_length.value_or(defaults.max_sequence_length)});
}

/// Makes the kernels of FP8 attention where it was asked for. Errors: unsupported.
void Flux1Pipeline::check_attention(const PictureRequest& request) const {
  if (!description_.attention.fp8) return;
  const std::int64_t image = latent_side(request.height) / 2 * (latent_side(request.width) / 2);
  const std::string why_not =
      transformer_.why_no_fp8_attention(1, request.max_sequence_length + image);
  if (why_not.empty()) return;
  throw Error(ErrorCode::unsupported, "--attention-backend fp8 does not run here",
              {.expected = "--attention-backend auto", .found = why_not});
}

/// [batch, tokens, C] packed, on the device.
Tensor Flux1Pipeline::initial_latents(const PictureRequest& request, std::int64_t batch) const {
  const std::int64_t height = latent_side(request.height);
  const std::int64_t width = latent_side(request.width);
  const std::int64_t channels = transformer_.dims().in_channels / 4;
  if (request.latents.empty()) {
    const at::Device generator =
        request.generator_device == "cuda" ? device_ : at::Device(at::kCPU);
    return pack_latents(
               draw_noise(request.seed, {batch, channels, height, width}, dtype_, generator))
        .to(device_);
  }
  return read_latents(request.latents, {batch, height / 2 * (width / 2), channels * 4},
                      {batch, channels, height, width})
      .to(device_)
      .to(dtype_);
}

/// What the transformer is given for a batch of prompts.
Flux1Conditions Flux1Pipeline::conditions(const std::vector<std::string>& prompts,
                                          const PictureRequest& settings,
                                          const Encoder& encode) const {
  std::vector<Tensor> txt;
  std::vector<Tensor> pooled;
  for (const std::string& prompt : prompts) {
    TextStates text = encode(prompt, settings.max_sequence_length);
    txt.push_back(std::move(text.txt));
    pooled.push_back(std::move(text.pooled));
  }
  return {
      .txt = joined(txt, 0),
      .pooled = joined(pooled, 0),
      .guidance = filled({static_cast<std::int64_t>(prompts.size())}, settings.guidance_scale,
                         at::kFloat, device_),
      .positions = flux1_positions(settings.max_sequence_length, latent_side(settings.height) / 2,
                                   latent_side(settings.width) / 2, dtype_)};
}

/// The transformer as a function of latents and step; with true CFG, two evaluations.
Velocity Flux1Pipeline::velocity(const PictureRequest& request,
                                 const FlowMatchSchedule& schedule,
                                 const Encoder& encode) {
  std::vector<Tensor> timesteps;
  for (const float timestep : schedule.timesteps) {
    timesteps.push_back(timestep_input(timestep, 1, dtype_, device_));
  }
  const auto prepare = [&](const std::string& prompt) {
    return transformer_.prepare(timesteps, conditions({prompt}, request, encode));
  };
  const auto predictor = [this, count = request.steps](Flux1Prepared run) {
    return [this, count, run = std::move(run)](const Tensor& latents, std::size_t step) {
      const auto index = static_cast<std::int64_t>(step);
      const AttentionBackend& attention = description_.attention;
      const bool fp8 = attention.fp8 && attention.steps.contains(index, count);
      return steps_(latents, run, index, fp8 ? AttentionKernel::fp8 : attention.plain);
    };
  };
  const auto positive = predictor(prepare(request.prompt));
  if (request.true_cfg_scale <= 1 || request.negative_prompt.empty()) return positive;
  const auto negative = predictor(prepare(request.negative_prompt));
  return [positive, negative, scale = request.true_cfg_scale](const Tensor& latents,
                                                              std::size_t step) {
    // Copied: the second evaluation overwrites the first.
    const Tensor with = positive(latents, step).clone();
    const Tensor without = negative(latents, step);
    return without.add(with.sub(without).mul(scale));
  };
}

/// The same velocity; copies of what it gives go into `noise`, on the CPU, where that is there.
Velocity kept(Velocity velocity, std::vector<Tensor>* noise) {
  if (noise == nullptr) return velocity;
  return [velocity = std::move(velocity), noise](const Tensor& latents, std::size_t step) {
    const Tensor predicted = velocity(latents, step);
    noise->push_back(predicted.cpu().clone());
    return predicted;
  };
}

/// What the run will take of a GPU, nothing on the CPU; decides how the VAE decodes. Errors: out_of_memory; unsupported
/// (tiles were asked for, and the VAE cannot).
MemoryPlan Flux1Pipeline::plan_run(const PictureRequest& request) {
  description_.vae_tiling = vae_tiling_.value_or(false);
  if (description_.vae_tiling) vae_.tiling();
  if (!device_.is_cuda()) return {};
  PictureSize size{
      .text_tokens = request.max_sequence_length,
      .image_tokens = latent_side(request.height) / 2 * (latent_side(request.width) / 2),
      .height = request.height,
      .width = request.width,
      .steps = request.steps,
      .expands_weights = description_.scheme == "nvfp4",
      .tiled = description_.vae_tiling};
  const auto plan_of = [&] {
    return plan_memory(weight_bytes_, transformer_.dims(), vae_.config(), size, dtype_);
  };
  MemoryPlan plan = plan_of();
  // A tile's side, or 0 where the VAE has none.
  const std::int64_t tile = vae_.config().tile_latent_side() * vae_.config().scale();
  const bool cuts = tile != 0 && std::max(request.height, request.width) > tile;
  if (!vae_tiling_ && cuts && !fits(plan)) {
    description_.vae_tiling = size.tiled = true;
    plan = plan_of();
    log_info(
        "memory: no room for decoding whole pictures: the VAE decodes in tiles (--vae-tiling)");
  }
  check_memory(plan, plan != planned_);
  planned_ = plan;
  return plan;
}

FlowMatchSchedule Flux1Pipeline::schedule_of(const PictureRequest& request) const {
  const std::int64_t tokens = latent_side(request.height) / 2 * (latent_side(request.width) / 2);
  return {schedule_, request.steps, tokens};
}

Tensor Flux1Pipeline::predict_noise(const PictureRequest& request,
                                    const Tensor& states,
                                    const std::function<void()>& on_step) {
  plan_run(request);
  const FlowMatchSchedule schedule = schedule_of(request);
  DITQ_ASSERT(states.dim() == 4 && states.size(1) == request.steps);
  const auto encode = [this](const std::string& prompt, std::int64_t text_length) {
    const auto found = texts_.find({prompt, text_length});
    if (found != texts_.end()) return found->second;
    return texts_.emplace(std::pair(prompt, text_length), text_(prompt, text_length)).first->second;
  };
  const Velocity predict = velocity(request, schedule, encode);
  std::vector<Tensor> noise;
  for (std::int64_t step = 0; step < request.steps; ++step) {
    check_interrupt();
    const Tensor latents = on_device(states.select(1, step).contiguous(), device_);
    noise.push_back(predict(latents, static_cast<std::size_t>(step)).cpu().clone());
    on_step();
  }
  return stacked(noise, 1);
}

[[noreturn]] void refuse_non_finite(std::int64_t count, std::int64_t of) {
  throw Error(
      ErrorCode::not_a_number, "the decoded picture holds NaN or infinite pixels",
      {.found = fmt::format("{} of {} values", count, of),
       .advice = "The checkpoint or its scales are damaged, or the latents are; try --dtype fp32"});
}

/// Packed latents to pixels, [1, 3, height, width].
Tensor Flux1Pipeline::decode(const Tensor& latents, const PictureRequest& request) const {
  const Tensor cells =
      unpack_latents(latents, latent_side(request.height), latent_side(request.width));
  return description_.vae_tiling ? vae_.decode_tiled(cells) : vae_.decode(cells);
}

Generation Flux1Pipeline::generate(const PictureRequest& request,
                                   const std::function<void()>& on_step) {
  Generation out{.prompt = request.prompt,
                 .seed = request.seed,
                 .picture = {},
                 .trajectory = {},
                 .timings = {}};
  const MemoryPlan plan = plan_run(request);
  Stopwatch watch(out.timings, device_);

  const FlowMatchSchedule schedule = schedule_of(request);
  watch.stage("TimestepPreparationStage");

  std::vector<Tensor> noise;
  const Velocity predict =
      kept(velocity(request, schedule, std::cref(text_)), request.keep_noise ? &noise : nullptr);
  watch.stage("TextEncodingStage");

  Tensor latents = initial_latents(request, 1);
  watch.stage("LatentPreparationStage");

  out.trajectory = {.initial_latents = latents.cpu(),
                    .latents = {},
                    .noise = {},
                    .timesteps = schedule.timesteps,
                    .sigmas = schedule.sigmas};
  std::vector<Tensor> states;
  latents = denoise(predict, latents, schedule, [&](std::size_t, const Tensor& state) {
    if (request.keep_states) states.push_back(state);
    watch.step();
    on_step();
  });
  if (request.keep_states) out.trajectory.latents = stacked(states, 1).cpu();
  if (request.keep_noise) out.trajectory.noise = stacked(noise, 1);
  watch.stage("DenoisingStage");

  const Tensor pixels = decode(latents, request);
  out.non_finite_pixels = count_non_finite(pixels);
  if (out.non_finite_pixels > 0 && !request.accept_non_finite) {
    refuse_non_finite(out.non_finite_pixels, pixels.numel());
  }
  out.picture = to_picture(pixels);
  watch.stage("DecodingStage");
  if (device_.is_cuda()) report_memory(plan);
  return out;
}

std::function<void()> Flux1Pipeline::first_step(const PictureRequest& request) {
  plan_run(request);
  return [predict = velocity(request, schedule_of(request), std::cref(text_)),
          latents = initial_latents(request, 1)] { predict(latents, 0); };
}

void Flux1Pipeline::denoise_batch(const BatchRequest& request,
                                  LayerListener& listener,
                                  const std::function<void()>& on_step) {
  const PictureRequest& settings = request.settings;
  const auto batch = static_cast<std::int64_t>(request.prompts.size());
  const FlowMatchSchedule schedule(
      schedule_, settings.steps,
      latent_side(settings.height) / 2 * (latent_side(settings.width) / 2));
  const Flux1Conditions given = conditions(request.prompts, settings, std::cref(text_));
  const auto velocity = [&](const Tensor& latents, std::size_t step) {
    const ListenerSession session(listener);
    return transformer_(
        {.img = latents,
         .txt = given.txt,
         .pooled = given.pooled,
         .timestep = timestep_input(schedule.timesteps[step], batch, dtype_, device_),
         .guidance = given.guidance,
         .positions = given.positions});
  };
  denoise(velocity, initial_latents(settings, batch), schedule,
          [&](std::size_t, const Tensor&) { on_step(); });
}

/// FP8 weights stay where they are, whatever was asked for; otherwise there is no offload yet.
void check_offload(const TransformerSource& source, const RunOptions& options) {
  if (!options.dit_cpu_offload) return;
  if (source.quant.scheme == Scheme::fp8 || source.quant.scheme == Scheme::fp8_channel_token) {
    log_warning("--dit-cpu-offload is forced off: it does not go with ModelOpt FP8 weights");
    return;
  }
  throw Error(ErrorCode::unsupported, "offload is not supported yet",
              {.expected = "--dit-cpu-offload false"});
}

}  // namespace

std::unique_ptr<Pipeline> load_flux1(const ComponentFolders& folders,
                                     const PipelineSources& sources,
                                     const RunOptions& options,
                                     at::Device device,
                                     std::shared_ptr<LayerSwitch> layers) {
  const TransformerSource source =
      resolve_transformer(folders.place("transformer"), sources.transformer_weights_path);
  const auto class_name = require_string(source.config, "_class_name", source.config_path);
  if (family_of_class(class_name) != &flux1_family()) {
    throw Error(ErrorCode::family_mismatch,
                "the transformer belongs to another family than the pipeline",
                {.path = source.config_path,
                 .expected = flux1_family().class_names.front(),
                 .found = class_name});
  }
  check_offload(source, options);
  return std::make_unique<Flux1Pipeline>(folders, source, options, device, std::move(layers));
}

}  // namespace ditq
