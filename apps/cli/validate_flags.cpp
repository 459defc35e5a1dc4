#include "validate_flags.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "model_path.h"
#include "prompts.h"
#include "support_files.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

/// What a candidate must reach where nobody says otherwise: a converted checkpoint that is broken falls far below; 28 dB
/// is the bar of SGLang's own tests for pictures.
constexpr const char* kDefaultBars = "cosine>=0.95,psnr>=28";

[[noreturn]] void refuse(const std::string& sentence,
                         const std::string& advice = "See 'ditq validate --help'") {
  throw Error(ErrorCode::usage, sentence, {.advice = advice});
}

/// Why a case cannot run here; empty: it can.
std::string obstacle(const SupportCase& one) {
  if (one.gpus > 1) return fmt::format("it runs on {} GPUs with tensor parallelism", one.gpus);
  if (one.task == "t2v") return "it makes a video";
  if (one.task == "ti2i") return "it edits a picture";
  return "";
}

}  // namespace

ValidateFlags::ValidateFlags(Flags& flags) : flags_(flags), shared_(flags, generate_) {
  declare_candidate();
  shared_.declare_sources();
  declare_gate();
  shared_.declare_sampling();
  declare_stages();
  shared_.declare_run();
}

void ValidateFlags::declare_candidate() {
  flags_.group(
      "The candidate: quantize the pipeline, take an export, or take a checkpoint "
      "(--transformer-path)");
  flags_.add("format", request_.format, "FORMAT", "Quantize --model-path: fp8 or fp4 (NVFP4)")
      .choices({"fp8", "fp4"});
  flags_.add("model", model_, "NAME", "ModelOpt's name of the model, for quantize (flux-dev)");
  flags_
      .add("calibration-prompts-file", calibration_prompts_, "FILE",
           "Prompts to calibrate on, one a line")
      .path();
  flags_.add("calib-size", calib_size_, "N", "Prompts in total (128)").at_least(1);
  flags_.add("calib-batch-size", calib_batch_size_, "N", "Prompts in one call of the pipeline (2)")
      .at_least(1);
  flags_.add("calib-steps", calib_steps_, "N", "Denoising steps of a calibration call (30)")
      .at_least(1);
  flags_
      .add("quantize-config", quantize_config_, "FILE",
           "Further flags of quantize, as its --config")
      .path();
  flags_
      .add("modelopt-hf-dir", request_.modelopt_hf_dir, "DIR",
           "Take ModelOpt's export: its --hf-ckpt-dir output")
      .path();
  flags_
      .add("modelopt-backbone-ckpt", request_.modelopt_backbone_ckpt, "FILE",
           "Its torch checkpoint with the amax values (FP8; an NVFP4 export needs none)")
      .path();
  flags_
      .add("build-config", build_config_, "FILE",
           "Further flags of build-fp8 or build-nvfp4, as their --config")
      .path();
}

void ValidateFlags::declare_gate() {
  flags_.group("What must hold");
  flags_.add("require", request_.require, "BARS",
             fmt::format("Bars of the candidate against BF16, as compare's ({})", kDefaultBars));
  flags_.add("case", request_.case_id, "ID",
             "A published case of SGLang's tests: size, steps, seed, prompt and bars are its own");
  flags_.add("cases-file", cases_file_, "FILE", "Cases (docs/support/cases.json of this build)")
      .path();
  flags_.add("list-cases", list_cases, "Show the cases and stop");
  flags_
      .add("ground-truth", ground_truth_folder_, "DIR",
           "Stored pictures of the cases, <id>_1gpu.png: the case's bars then hold against them")
      .path();
  flags_
      .add("clip-image-encoder", request_.clip_image_encoder, "DIR",
           "CLIP model for the similarity of pictures, such as openai/clip-vit-large-patch14")
      .path();
  flags_.add("prompts-file", prompts_file_, "FILE", "One prompt a line; prompt i takes seed + i")
      .path();
  flags_.add("seeds", request_.seeds, "LIST",
             "Every prompt with each of these seeds, such as 1,2,3 or 0-9");
}

void ValidateFlags::declare_stages() {
  flags_.group("Stages and results");
  flags_
      .add("output-dir", request_.output_dir, "DIR",
           "Folder for everything; a second run goes on in it")
      .path();
  flags_.add("redo", redo, "STAGE",
             "Run this stage again although nothing has changed; may be repeated");
  flags_.add("only", only, "STAGE", "Run this stage alone, again");
  flags_.add("bench", request_.bench, "Also measure speed (--bench false: do not)");
  flags_.add("bench-rounds", bench_rounds_, "N", "Rounds of A B B A (1)").at_least(1);
  flags_.add("warmup-runs", bench_warmup_runs_, "N", "Runs before those that are measured (1)")
      .at_least(0);
  flags_.add("measure-runs", bench_measure_runs_, "N", "Measured runs of a visit (2)").at_least(1);
  flags_.add("title", request_.title, "TEXT", "Title of the report");
  flags_.add("base-model", request_.base_model, "NAME",
             "The pipeline's name in the record (default: as --model-path says)");
  flags_.add("repository", request_.repository, "NAME",
             "Where the quantized weights are published; without it the record says unpublished");
  flags_
      .add("record", record_copy, "FILE",
           "Also write the record here, such as docs/support/records/NAME.json")
      .path();
}

std::vector<std::string> ValidateFlags::shared_flags() const {
  std::vector<std::string> out;
  const auto take = [&](const char* name, const std::string& value) {
    out.push_back(std::string("--") + name);
    out.push_back(value);
  };
  if (generate_.width) take("width", std::to_string(*generate_.width));
  if (generate_.height) take("height", std::to_string(*generate_.height));
  if (generate_.num_inference_steps)
    take("num-inference-steps", std::to_string(*generate_.num_inference_steps));
  if (generate_.guidance_scale)
    take("guidance-scale", fmt::format("{}", *generate_.guidance_scale));
  if (generate_.max_sequence_length)
    take("max-sequence-length", std::to_string(*generate_.max_sequence_length));
  const RunOptions& run = generate_.run;
  const std::pair<const char*, const std::string*> words[] = {
      {"model-id", &generate_.sources.model_id},
      {"latents", &generate_.latents},
      {"generator-device", &generate_.generator_device},
      {"device", &run.device},
      {"dtype", &run.dtype},
      {"clip-tokenizer", &run.clip_tokenizer},
      {"nvfp4-activations", &run.nvfp4_activations},
      {"fp4-gemm-backend", &run.fp4_gemm_backend},
      {"fp8-accumulation", &run.fp8_accumulation},
      {"kernel-table", &run.kernel_table},
      {"attention-backend", &run.attention_backend},
      {"fp8-attention-steps", &run.fp8_attention_steps}};
  for (const auto& [name, value] : words) {
    if (flags_.given(name)) take(name, *value);
  }
  if (run.vae_tiling) take("vae-tiling", *run.vae_tiling ? "true" : "false");
  return out;
}

std::vector<std::string> ValidateFlags::quantize_flags() const {
  std::vector<std::string> out = {"--model",        model_,
                                  "--prompts-file", calibration_prompts_,
                                  "--calib-size",   std::to_string(calib_size_),
                                  "--batch-size",   std::to_string(calib_batch_size_),
                                  "--n-steps",      std::to_string(calib_steps_)};
  const auto take = [&](const char* name, const std::optional<std::int64_t>& value) {
    if (value) out.insert(out.end(), {name, std::to_string(*value)});
  };
  take("--width", generate_.width);
  take("--height", generate_.height);
  if (flags_.given("device")) out.insert(out.end(), {"--device", generate_.run.device});
  if (!quantize_config_.empty()) out.insert(out.end(), {"--config", quantize_config_});
  return out;
}

void ValidateFlags::apply_case(ValidateRequest& request) {
  if (request.case_id.empty()) {
    if (!ground_truth_folder_.empty())
      refuse("--ground-truth goes with --case, whose pictures it holds");
    return;
  }
  const auto cases =
      read_cases(cases_file_.empty() ? support_file("cases.json", "--cases-file") : cases_file_);
  const SupportCase& one = find_case(cases, request.case_id);
  for (const char* flag : {"width", "height", "num-inference-steps", "seed", "seeds", "prompt",
                           "prompts-file", "720p", "1080p", "2k", "4k"}) {
    if (flags_.given(flag))
      refuse(fmt::format("--{} is the case's own: keep one of --{} and --case", flag, flag));
  }
  if (const std::string reason = obstacle(one); !reason.empty()) {
    throw Error(
        ErrorCode::unsupported, "this case cannot run here",
        {.expected = "a picture from a prompt on one device", .found = one.id + ": " + reason});
  }
  request.case_id = one.id;
  generate_.width = one.width;
  generate_.height = one.height;
  generate_.num_inference_steps = one.num_inference_steps;
  generate_.seed = one.seed;
  generate_.prompts = {one.prompt};
  std::vector<Bar> bars = one.thresholds;
  if (request.clip_image_encoder.empty()) {
    std::erase_if(bars, [](const Bar& bar) { return bar.metric == "clip"; });
    log_warning(
        "the case's bar on CLIP similarity is left out: --clip-image-encoder names no model");
  }
  if (ground_truth_folder_.empty()) {
    if (request.require.empty()) request.require = bars_text(bars);
    return;
  }
  request.ground_truth = (fs::path(ground_truth_folder_) / (one.id + "_1gpu.png")).string();
  if (!fs::exists(request.ground_truth)) {
    throw Error(ErrorCode::file_not_found, "the case has no stored picture there",
                {.path = request.ground_truth});
  }
  request.ground_truth_require = bars_text(bars);
}

void ValidateFlags::take_candidate(ValidateRequest& request) const {
  const bool takes_checkpoint =
      !generate_.sources.components.empty() || !generate_.sources.transformer_weights_path.empty();
  request.components = generate_.sources.components;
  request.transformer_weights_path = generate_.sources.transformer_weights_path;
  request.flag = request.transformer_weights_path.empty() ? "--transformer-path"
                                                          : "--transformer-weights-path";
  PipelineSources sources = generate_.sources;
  resolve_sources(sources);  // For its checks; commands repeat what was typed.
  if (request.format.empty()) {
    for (const char* flag : {"calibration-prompts-file", "calib-size", "calib-batch-size",
                             "calib-steps", "quantize-config"}) {
      if (flags_.given(flag))
        refuse(fmt::format("--{} goes with --format: nothing is calibrated", flag));
    }
  } else if (calibration_prompts_.empty()) {
    refuse("--format needs --calibration-prompts-file: what to calibrate on");
  } else {
    request.quantize_flags = quantize_flags();
    request.quantize_inputs = {calibration_prompts_, quantize_config_};
  }
  if (takes_checkpoint && !build_config_.empty())
    refuse("--build-config: nothing is built from a checkpoint");
  if (!request.modelopt_backbone_ckpt.empty() && request.modelopt_hf_dir.empty()) {
    refuse("--modelopt-backbone-ckpt belongs to --modelopt-hf-dir");
  }
  if (!build_config_.empty()) {
    request.build_flags = {"--config", build_config_};
    request.build_inputs = {build_config_};
  } else if (request.format == "fp4" ||
             (!request.modelopt_hf_dir.empty() && request.modelopt_backbone_ckpt.empty())) {
    request.build_flags = {"--no-swap-weight-nibbles"};  // ModelOpt packs the even column low.
  }
}

void ValidateFlags::take_prompts(ValidateRequest& request) const {
  if (!generate_.prompts.empty() && !prompts_file_.empty())
    refuse("--prompt and --prompts-file exclude each other");
  request.prompts = generate_.prompts;
  request.prompts_file = prompts_file_;
  if (!prompts_file_.empty())
    request.first_prompt = read_prompts_to_generate(prompts_file_).front();
  else if (!request.prompts.empty())
    request.first_prompt = request.prompts.front();
  else
    refuse("a prompt is missing: --prompt TEXT, --prompts-file FILE or --case ID");
  request.seed = generate_.seed;
  if (flags_.given("seed") && !request.seeds.empty())
    refuse("--seed and --seeds exclude each other");
  request.shared_inputs = {generate_.latents.substr(0, generate_.latents.find(':')),
                           generate_.run.kernel_table};
}

void ValidateFlags::take_gate(ValidateRequest& request) const {
  if (request.require.empty() && request.ground_truth.empty()) request.require = kDefaultBars;
  request.bench_flags = {"--rounds",       std::to_string(bench_rounds_),
                         "--warmup-runs",  std::to_string(bench_warmup_runs_),
                         "--measure-runs", std::to_string(bench_measure_runs_)};
}

ValidateRequest ValidateFlags::request() {
  ValidateRequest request = request_;
  if (generate_.sources.model_path.empty()) refuse("--model-path is required");
  if (request.output_dir.empty()) refuse("--output-dir is required");
  shared_.finish_sampling();
  shared_.finish_run();
  apply_case(request);
  request.model_path = resolve_model_path(generate_.sources.model_path, "--model-path");
  take_candidate(request);
  require_one_candidate(request);
  take_prompts(request);
  take_gate(request);
  request.shared_flags = shared_flags();
  if (request.base_model.empty()) {
    const bool is_folder = fs::is_directory(generate_.sources.model_path);
    const fs::path typed = fs::path(generate_.sources.model_path).lexically_normal();
    request.base_model =
        is_folder ? (typed.has_filename() ? typed : typed.parent_path()).filename().string()
                  : generate_.sources.model_path;
  }
  if (request.title.empty()) {
    const std::string what = request.format == "fp8"   ? "FP8"
                             : request.format == "fp4" ? "NVFP4"
                                                       : "quantized";
    request.title = fmt::format("{}: {} against BF16", request.base_model, what);
  }
  return request;
}

}  // namespace ditq
