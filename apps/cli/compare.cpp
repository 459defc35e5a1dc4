// ditq compare: SGLang's trajectory similarity tool, plus bars that may be missed, plus a form on saved files.

#include <algorithm>
#include <functional>

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "base/regex.h"
#include "commands.h"
#include "compare_report.h"
#include "engine_loader.h"
#include "flags.h"
#include "generate_flags.h"
#include "model_path.h"
#include "prompts.h"
#include "seeds.h"
#include "sglang_flags.h"
#include "side_sources.h"
#include "terminal.h"

namespace ditq {
namespace {

constexpr const char* kExamples =
    "Examples\n"
    "  ditq compare --model-path models/tiny-flux --candidate-component-path transformer=out/fp8 "
    "\\\n"
    "    --prompt \"a large red circle on a navy background\" --width 256 --height 256 \\\n"
    "    --num-inference-steps 8 --guidance-scale 3.5 --require 'cosine>=0.99,psnr>=28'\n"
    "  ditq compare --reference bf16.safetensors --candidate fp8.safetensors --require "
    "'cosine>=0.99'\n\n";

/// One side's flags, as typed.
struct SideCheckpoints {
  std::string weights_path;             ///< --reference-transformer-path
  std::vector<std::string> components;  ///< --reference-component-path component=path
};

struct CompareFlags {
  std::string prompts_file;
  std::string seeds;
  SideCheckpoints reference;
  SideCheckpoints candidate;
  std::string report;
};

[[noreturn]] void refuse(const std::string& sentence, const std::string& found = "") {
  throw Error(ErrorCode::usage, sentence, {.found = found, .advice = "See 'ditq compare --help'"});
}

void declare_files(Flags& flags, CompareRequest& request) {
  flags.group("Form 1: two saved results (no model is loaded)");
  flags
      .add("reference", request.reference_file, "FILE",
           "A trajectory (.safetensors), a picture (PNG, JPEG), a video, or a folder of frames")
      .path();
  flags.add("candidate", request.candidate_file, "FILE", "The one to be measured against it")
      .path();
}

void declare_sides(Flags& flags, CompareFlags& sides) {
  flags.group("Form 2: two checkpoints, run one after the other");
  const auto declare = [&](const std::string& side, SideCheckpoints& target) {
    flags.add(side + "-component-path", target.components, "NAME=DIR",
              fmt::format("The {}'s component, such as transformer=DIR; may be repeated", side));
    flags
        .add(side + "-transformer-path", target.weights_path, "PATH",
             fmt::format("The {}'s transformer weights; its config stays the base's", side))
        .path();
  };
  declare("reference", sides.reference);
  declare("candidate", sides.candidate);
}

void declare_measure(Flags& flags, CompareRequest& request, CompareFlags& more) {
  flags.group("What to measure and write");
  flags
      .add("prompts-file", more.prompts_file, "FILE",
           "One prompt a line, prompt i with seed + i; also adds noise_l2, as several --prompt do")
      .path();
  flags.add("seeds", more.seeds, "LIST",
            "Every prompt with each of these seeds: 1,2,3, or a range 0-9");
  flags
      .add("clip-image-encoder", request.clip_image_encoder, "DIR",
           "Also compare the pictures by this CLIP model's embeddings "
           "(openai/clip-vit-large-patch14)")
      .path();
  flags.add("require", request.require, "BARS",
            "Exit with 1 when missed: metric op number, separated by commas. cosine, mae, rmse, "
            "relative_l2: the worst step of all runs; last.cosine …: the worst last step; psnr, "
            "ssim, pixel_mae, clip: the worst frame; mean.psnr …: the mean of the runs' worst; "
            "noise_l2: the mean relative error of what the transformer predicts, over all runs "
            "and steps");
  flags.add("trajectory-step-index", request.trajectory_step_index, "N",
            "Step that the short result shows (-1: the last)");
  flags.add("warmup-runs", request.warmup_runs, "N", "Runs before those that are measured (0)")
      .at_least(0);
  flags.add("measure-runs", request.measure_runs, "N", "Measured runs of each side (1)")
      .at_least(1);
  flags
      .add("output-json", request.output_json, "FILE", "Write the whole report, with SGLang's keys")
      .path();
  flags.add("save-output-dir", request.save_output_dir, "DIR", "Keep both sides' pictures here")
      .path();
  flags
      .add("report", more.report, "FILE",
           "Write a page to look at (.html): pictures, steps, layers, settings")
      .path();
  flags.add("reference-fp4-gemm-backend", request.reference_fp4_gemm_backend, "NAME",
            "The reference's FP4 kernel; see --fp4-gemm-backend");
  flags.add("candidate-fp4-gemm-backend", request.candidate_fp4_gemm_backend, "NAME",
            "The candidate's");
  flags.add("reference-attention-backend", request.reference_attention_backend, "NAME",
            "The reference's attention; see --attention-backend");
  flags.add("candidate-attention-backend", request.candidate_attention_backend, "NAME",
            "The candidate's");
}

/// What SGLang's tool passes to its generator, for the report. Source: SGLang bridge reference 6.
Json server_kwargs(const PipelineSources& sources) {
  Json out = {{"model_path", sources.model_path},
              {"model_id", sources.model_id.empty() ? Json(nullptr) : Json(sources.model_id)},
              {"backend", "sglang"},
              {"num_gpus", 1},
              {"dit_cpu_offload", false},
              {"dit_layerwise_offload", false},
              {"text_encoder_cpu_offload", false},
              {"vae_cpu_offload", false},
              {"pin_cpu_memory", false},
              {"enable_cfg_parallel", false},
              {"ulysses_degree", 1}};
  if (!sources.transformer_weights_path.empty()) {
    out["transformer_weights_path"] = sources.transformer_weights_path;
  }
  if (!sources.components.empty()) out["component_paths"] = sources.components;
  return out;
}

/// The form of --require; which metrics there are the engine knows. Checked before anything runs.
void check_require(const std::string& require) {
  if (require.empty()) return;
  static const Regex form(
      R"(\s*[a-z_][a-z0-9_.]*\s*(>=|<=|>|<)\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*)");
  for (std::size_t at = 0; at <= require.size();) {
    const std::size_t end = std::min(require.find(',', at), require.size());
    const std::string bar = require.substr(at, end - at);
    if (!form.full_match(bar)) {
      throw Error(ErrorCode::usage, "--require: a bar is 'metric op number'",
                  {.expected = "such as cosine>=0.99", .found = "'" + bar + "'"});
    }
    at = end + 1;
  }
}

void finish_files(const Flags& flags, const CompareRequest& request) {
  if (request.reference_file.empty() || request.candidate_file.empty()) {
    refuse("--reference and --candidate belong together");
  }
  for (const char* flag :
       {"model-path", "prompt", "prompts-file", "seed", "seeds", "reference-transformer-path",
        "candidate-transformer-path", "reference-component-path", "candidate-component-path"}) {
    if (flags.given(flag))
      refuse(fmt::format("--{} does not go with --reference and --candidate, which run no model",
                         flag));
  }
}

void finish_checkpoints(const Flags& flags, CompareRequest& request, const CompareFlags& sides) {
  PipelineSources& base = request.generate.sources;
  if (!request.generate.prompts.empty() && !sides.prompts_file.empty()) {
    refuse("--prompt and --prompts-file exclude each other");
  }
  if (!sides.prompts_file.empty()) {
    request.generate.prompts = read_prompts_to_generate(sides.prompts_file);
  }
  if (flags.given("seed") && flags.given("seeds")) refuse("--seed and --seeds exclude each other");
  if (flags.given("seeds")) request.seeds = parse_seeds(sides.seeds);
  if (base.model_path.empty()) refuse("--model-path is required, or --reference and --candidate");
  if (request.generate.prompts.empty()) refuse("a --prompt or --prompts-file is required");
  const auto own = [&](const char* name, const SideCheckpoints& side) {
    return PipelineSources{
        .components = take_side_components(name, side.components, base.components),
        .transformer_weights_path = side.weights_path};
  };
  const PipelineSources reference = own("reference", sides.reference);
  const PipelineSources candidate = own("candidate", sides.candidate);
  request.reference = with_side(base, reference);
  request.candidate = with_side(base, candidate);
  request.server_kwargs = {{"reference", server_kwargs(request.reference)},
                           {"candidate", server_kwargs(request.candidate)}};
  for (PipelineSources* sources : {&base, &request.reference, &request.candidate}) {
    resolve_sources(*sources);
  }
}

ExitCode report(const CompareResult& result) {
  write_output(dump_json(result.brief, {.indent = 2}) + "\n");
  for (const std::string& missed : result.missed) log_error("missed: " + missed);
  for (const std::string& finding : result.findings) log_error("defect: " + finding);
  return result.missed.empty() && result.findings.empty() ? ExitCode::done : ExitCode::check_failed;
}

}  // namespace

ExitCode run_compare(const Arguments& arguments) {
  CompareRequest request;
  CompareFlags more;
  Flags flags("compare",
              "(--reference FILE --candidate FILE | --model-path DIR --prompt TEXT) [flags]",
              "Measure how far a candidate strays from a reference: the latents after every step, "
              "and the picture. "
              "Metrics, report and flag names are those of SGLang's "
              "compare_diffusion_trajectory_similarity.\n"
              "Prints SGLang's short result as JSON on stdout. Exits with 1 when a bar of "
              "--require is missed, or the candidate shows a defect that the reference has not: a "
              "blank, constant, saturated or noisy picture, or values that are no numbers.");
  GenerateFlags shared(flags, request.generate);
  declare_files(flags, request);
  declare_sides(flags, more);
  shared.declare_sources();
  shared.declare_sampling();
  declare_measure(flags, request, more);
  shared.declare_run();
  const SglangFlags sglang(flags);
  flags.epilog(kExamples + SglangFlags::help());
  if (!flags.parse(arguments)) return ExitCode::done;

  sglang.check();
  require_folder_of(more.report);
  check_require(request.require);
  shared.finish_sampling();
  shared.finish_run();
  const bool files = !request.reference_file.empty() || !request.candidate_file.empty();
  if (files)
    finish_files(flags, request);
  else
    finish_checkpoints(flags, request, more);
  request.generate.command = {"ditq", "compare"};
  request.generate.command.insert(request.generate.command.end(), arguments.begin(),
                                  arguments.end());
  const CompareResult result = load_engine().compare(request);
  if (!more.report.empty()) write_compare_report(more.report, request, result);
  return report(result);
}

}  // namespace ditq
