#include "quantize_flags.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>

#include <fmt/format.h>

#include "base/error.h"
#include "model_path.h"
#include "ptq/calibration_prompts.h"
#include "ptq/calibration_state.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

/// ModelOpt's flags for what is not built here, with a value and without.
constexpr std::array<const char*, 5> kRefused = {"percentile", "collect-method", "alpha",
                                                 "onnx-dir", "trt-high-precision-dtype"};
constexpr std::array<const char*, 3> kRefusedSwitches = {"compress", "cpu-offloading",
                                                         "ltx-skip-upsampler"};

/// The two sides of "KEY=VALUE" or "name:dtype". Errors: usage.
std::pair<std::string, std::string> cut(const std::string& text, char at, const char* flag) {
  const std::size_t place = text.find(at);
  if (place == std::string::npos || place == 0) {
    throw Error(ErrorCode::usage, fmt::format("--{}: not a pair", flag),
                {.expected = fmt::format("NAME{}VALUE", at), .found = "'" + text + "'"});
  }
  return {text.substr(0, place), text.substr(place + 1)};
}

template <typename Number>
Number number(const std::string& key, const std::string& text) {
  Number value{};
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (status == std::errc() && end == text.data() + text.size() && value >= 0) return value;
  throw Error(ErrorCode::usage, "--extra-param " + key + " is no number",
              {.found = "'" + text + "'"});
}

std::string run_dtype(const std::string& model_dtype) {
  if (model_dtype == "BFloat16") return "bf16";
  if (model_dtype == "Float") return "fp32";
  throw Error(ErrorCode::unsupported, "a calibration cannot run in float16",
              {.expected = "--model-dtype BFloat16 or Float",
               .found = model_dtype,
               .advice = "Calibrate in BFloat16 and export the state file with --restore-from"});
}

}  // namespace

QuantizeFlags::QuantizeFlags(Flags& flags) : flags_(flags) {
  calibrate_.batch_size = 2;
  calibrate_.n_steps = 30;
  declare_input();
  declare_recipe();
  declare_calibration();
  declare_output();
  declare_refused();
  beyond_.declare(flags_);
  add_pipeline_flags(flags_, pipeline_);
}

void QuantizeFlags::declare_input() {
  flags_.group("What to quantize");
  std::string names;
  for (const QuantizeModel& model : quantize_models()) {
    names += (names.empty() ? "" : ", ") + model.name;
  }
  flags_.add(
      "model", request_.model, "NAME",
      "ModelOpt's name of the model, which decides about layers and calibration (flux-dev): " +
          names);
  flags_
      .add("override-model-path", override_model_path_, "DIR",
           "The pipeline's folder, a single component's, or owner/name in the local Hugging Face "
           "cache; default: the model's own repository there")
      .path();
  flags_.add("backbone", backbones_, "NAME",
             "Component to quantize; may be repeated (the model's: transformer or unet)");
  flags_.add("model-dtype", request_.model_dtype, "DTYPE",
             "Half, BFloat16 (default) or Float: what the model is loaded and exported in");
  flags_.add("component-dtype", component_dtypes_, "NAME:DTYPE",
             "The same for one component; may be repeated");
}

void QuantizeFlags::declare_recipe() {
  flags_.group("Into what");
  flags_.add("format", format_, "FORMAT",
             "fp8 or fp4 (NVFP4); with --restore-from the checkpoint's");
  flags_.add("quant-algo", algorithm_, "ALGO",
             "max (default), or svdquant: smoothed weights and a low-rank branch");
  flags_.add("lowrank", request_.lowrank, "N", "SVDQuant: rank of the branch (32)");
  flags_.add("block-size", request_.block_size, "N", "NVFP4: values that share a scale (16)");
  flags_.add("quantize-mha", request_.quantize_mha,
             "Also declare q, k and v of attention as FP8, with their amax");
  flags_
      .add("arithmetic", arithmetic_, "DEVICE",
           "Scales as ModelOpt computes them on cuda (default) or cpu; they differ in last bits")
      .choices({"cuda", "cpu"});
}

void QuantizeFlags::declare_calibration() {
  flags_.group("Calibration");
  flags_.add("prompts-file", prompts_file_, "FILE", "One prompt a line").path();
  flags_.add("batch-size", calibrate_.batch_size, "N", "Prompts in one call of the pipeline (2)");
  flags_.add("calib-size", calib_size_, "N", "Prompts in total (128)");
  flags_.add("n-steps", calibrate_.n_steps, "N", "Denoising steps of a call (30)");
  flags_.add("height", calibrate_.height, "N", "Pixels; default: the model's").at_least(1);
  flags_.add("width", calibrate_.width, "N", "Pixels; default: the model's").at_least(1);
  flags_.add("guidance-scale", calibrate_.guidance_scale, "X", "Default: the model's");
  flags_
      .add("max-sequence-length", calibrate_.max_sequence_length, "N",
           "Tokens of the long text encoder; default: the model's")
      .at_least(1);
  flags_.add("extra-param", extra_, "KEY=VALUE",
             "ModelOpt's spelling of height, width, guidance_scale and max_sequence_length");
  flags_.add("seed", calibrate_.seed, "N",
             "Seed of the initial noise (42); equal seeds, equal amax");
  flags_
      .add(
          "latents", calibrate_.latents, "FILE",
          "Initial latents of every call (safetensors: 000, 001, …) instead of noise from the seed")
      .path();
  flags_
      .add("state-file", state_file_, "FILE",
           "What was measured; a finished one of the same calibration is used again, an "
           "interrupted one continued")
      .path();
  flags_
      .add("restore-from", restore_from_, "PATH",
           "No calibration: a checkpoint (NAME.pt), a state file, or a folder with one")
      .path();
  flags_.add("device", calibrate_.run.device, "DEVICE",
             "cuda or cuda:N (the default where there is one), or cpu");
  flags_
      .add("clip-tokenizer", calibrate_.run.clip_tokenizer, "CLASS",
           "Which of transformers' CLIP classes to follow: fast (default) or slow")
      .choices({"fast", "slow"});
}

void QuantizeFlags::declare_output() {
  flags_.group("Output");
  flags_
      .add("hf-ckpt-dir", request_.hf_folder, "DIR",
           "The whole pipeline in ModelOpt's Hugging Face layout")
      .path();
  flags_
      .add("quantized-torch-ckpt-save-path", request_.torch_folder, "DIR",
           "Folder for the torch checkpoint NAME.pt, with weights and amax")
      .path();
  flags_.add("torch-ckpt-name", request_.torch_name, "NAME",
             "Its name without .pt instead of the component's, such as backbone");
  flags_.add("overwrite", request_.overwrite,
             "Replace what is there, once the new one is complete");
}

void QuantizeFlags::declare_refused() {
  for (const char* name : kRefused) {
    flags_.add(name, refused_[name], "X", "Not built here").hidden();
  }
  for (const char* name : kRefusedSwitches) {
    flags_.add(name, refused_switches_[name], "Not built here").hidden();
  }
}

void QuantizeFlags::refuse_foreign() const {
  const auto refuse = [this](const char* name) {
    if (!flags_.given(name)) return;
    throw Error(ErrorCode::unsupported, fmt::format("--{} is not built here", name),
                {.advice = "See 'ditq quantize --help' for what is"});
  };
  std::for_each(kRefused.begin(), kRefused.end(), refuse);
  std::for_each(kRefusedSwitches.begin(), kRefusedSwitches.end(), refuse);
}

/// ModelOpt's own checks, in its words.
void QuantizeFlags::check_counts() const {
  const std::pair<const char*, std::int64_t> counts[] = {{"batch-size", calibrate_.batch_size},
                                                         {"calib-size", calib_size_},
                                                         {"n-steps", calibrate_.n_steps}};
  for (const auto& [name, value] : counts) {
    if (value >= 1) continue;
    throw Error(ErrorCode::usage, fmt::format("--{} must be positive", name),
                {.expected = "at least 1", .found = std::to_string(value)});
  }
}

QuantizeRequest QuantizeFlags::export_request() const {
  refuse_foreign();
  check_counts();
  QuantizeRequest request = request_;
  const QuantizeModel& model = find_quantize_model(request.model);
  request.format = format_;
  request.algorithm = algorithm_;
  request.arithmetic = parse_arithmetic(arithmetic_);
  request.limits = parse_pipeline_flags(pipeline_);
  request.beyond = beyond_.read();
  request.backbones = backbones_;
  for (const std::string& text : component_dtypes_) {
    const auto [component, dtype] = cut(text, ':', "component-dtype");
    request.component_dtypes[component] = dtype;
  }
  request.shown = override_model_path_.empty() ? model.hub_id : override_model_path_;
  request.folder = resolve_model_path(request.shown, "--override-model-path");
  if (request.beyond.weights_only && !restore_from_.empty()) {
    throw Error(ErrorCode::usage, "--weights-only and --restore-from exclude each other");
  }
  if (format_.empty() && restore_from_.empty() && !request.beyond.weights_only) {
    throw Error(ErrorCode::usage, "--format is required", {.expected = "fp8 or fp4"});
  }
  return request;
}

void QuantizeFlags::apply_extra(CalibrateRequest& request) const {
  for (const std::string& text : extra_) {
    const auto [key, value] = cut(text, '=', "extra-param");
    if (key == "height") {
      request.height = number<std::int64_t>(key, value);
    } else if (key == "width") {
      request.width = number<std::int64_t>(key, value);
    } else if (key == "guidance_scale") {
      request.guidance_scale = number<double>(key, value);
    } else if (key == "max_sequence_length") {
      request.max_sequence_length = number<std::int64_t>(key, value);
    } else {
      throw Error(ErrorCode::unsupported, "--extra-param: unknown key",
                  {.expected = "height, width, guidance_scale or max_sequence_length",
                   .found = "'" + key + "'"});
    }
  }
}

std::string QuantizeFlags::state_file(const QuantizeRequest& request) const {
  if (!state_file_.empty()) return state_file_;
  if (!request.torch_folder.empty()) {
    return (fs::path(request.torch_folder) / state_file_name("transformer")).string();
  }
  fs::path folder = request.hf_folder;
  if (!folder.has_filename()) folder = folder.parent_path();
  return folder.string() + "-calibration.safetensors";
}

std::optional<CalibrateRequest> QuantizeFlags::calibrate_request(
    const QuantizeRequest& request) const {
  if (!restore_from_.empty() || request.beyond.weights_only) return std::nullopt;
  const QuantizeModel& model = find_quantize_model(request.model);
  const auto& backbones = request.backbones.empty() ? model.backbones : request.backbones;
  if (backbones != std::vector<std::string>{"transformer"}) {
    throw Error(ErrorCode::unsupported, "only a pipeline's transformer can be calibrated here",
                {.expected = "--backbone transformer",
                 .advice = "Others are exported from ModelOpt's checkpoints with --restore-from"});
  }
  if (prompts_file_.empty()) {
    throw Error(ErrorCode::usage, "--prompts-file is required",
                {.expected = "a file with one prompt a line",
                 .advice = "ModelOpt's default data set is not downloaded; --restore-from needs no "
                           "prompts"});
  }
  CalibrateRequest calibrate = calibrate_;
  calibrate.sources.model_path = request.folder;
  calibrate.run.dtype = run_dtype(request.model_dtype);
  calibrate.prompts = read_calibration_prompts(prompts_file_, calib_size_, calibrate.batch_size);
  const CalibrationArguments& arguments = model.arguments;
  if (!calibrate.height) calibrate.height = arguments.height;
  if (!calibrate.width) calibrate.width = arguments.width;
  if (!calibrate.guidance_scale) calibrate.guidance_scale = arguments.guidance_scale;
  if (!calibrate.max_sequence_length) {
    calibrate.max_sequence_length = arguments.max_sequence_length;
  }
  apply_extra(calibrate);
  calibrate.algorithm = algorithm_.empty() ? "max" : algorithm_;
  calibrate.lowrank = request.lowrank;
  calibrate.block_size = request.block_size;
  calibrate.svdquant_skip = model.svdquant_skip;
  calibrate.state_file = state_file(request);
  return calibrate;
}

std::string QuantizeFlags::restored_state(const std::string& component) const {
  return resolve_state(restore_from_, component);
}

}  // namespace ditq
