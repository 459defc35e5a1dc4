// ditq generate: prompts to pictures, with the flags of `sglang generate`.

#include <filesystem>

#include "base/error.h"
#include "commands.h"
#include "engine_loader.h"
#include "flags.h"
#include "generate_flags.h"
#include "prompts.h"
#include "sglang_flags.h"
#include "terminal.h"

namespace ditq {
namespace {

constexpr const char* kExamples =
    "Examples\n"
    "  ditq generate --model-path models/tiny-flux --prompt \"a large red circle on a navy "
    "background\" \\\n"
    "    --height 256 --width 256 --num-inference-steps 20\n"
    "  ditq generate --model-path FLUX.1-dev --transformer-path flux1-dev-fp8 --prompts-file "
    "prompts.txt\n\n";

/// What only generate has.
struct OutputFlags {
  std::string prompts_file;
  std::string output_file_path;
};

void declare_output(Flags& flags, GenerateRequest& request, OutputFlags& output) {
  flags.group("What to write");
  flags.add("output-path", request.output_path, "DIR", "Folder for the pictures (outputs)").path();
  flags.add("output-file-name", request.output_file_name, "NAME",
            "Default: made from prompt and seed");
  flags.add("output-file-path", output.output_file_path, "FILE", "Folder and name in one").path();
  flags
      .add("num-outputs-per-prompt", request.num_outputs_per_prompt, "N",
           "Pictures of each prompt (1)")
      .at_least(1);
  flags.add("save-output", request.save_output,
            "Write the pictures; --no-save-output leaves them out");
  flags.add("return-trajectory-latents", request.return_trajectory_latents,
            "Write the latents after every step as a safetensors file beside each picture");
  flags
      .add("perf-dump-path", request.perf_dump_path, "FILE",
           "Write timings and peak memory as JSON")
      .path();
}

[[noreturn]] void refuse(const std::string& sentence) {
  throw Error(ErrorCode::usage, sentence, {.advice = "See 'ditq generate --help'"});
}

void finish_prompts(GenerateRequest& request, const OutputFlags& output) {
  if (!request.prompts.empty() && !output.prompts_file.empty()) {
    refuse("--prompt and --prompts-file exclude each other");
  }
  if (!output.prompts_file.empty()) request.prompts = read_prompts_to_generate(output.prompts_file);
  if (request.prompts.empty()) refuse("a prompt is missing: --prompt TEXT or --prompts-file FILE");
}

void finish_output(GenerateRequest& request, const OutputFlags& output) {
  if (output.output_file_path.empty()) return;
  if (!request.output_file_name.empty())
    refuse("--output-file-path and --output-file-name exclude each other");
  const std::filesystem::path file = output.output_file_path;
  if (!file.has_filename()) refuse("--output-file-path: '" + file.string() + "' names a folder");
  request.output_path = file.has_parent_path() ? file.parent_path().string() : ".";
  request.output_file_name = file.filename().string();
}

}  // namespace

ExitCode run_generate(const Arguments& arguments) {
  GenerateRequest request{.output_path = "outputs"};
  OutputFlags output;
  Flags flags(
      "generate", "--model-path DIR --prompt TEXT [flags]",
      "Make pictures with a FLUX.1 pipeline in BF16, F32, FP8 or NVFP4. Flag names are those of "
      "'sglang generate'; "
      "dashes and underscores mean the same.\n"
      "Pictures go to --output-path, a summary as JSON to stdout.");
  GenerateFlags shared(flags, request);
  shared.declare_sources();
  shared.declare_sampling();
  flags
      .add("prompts-file", output.prompts_file, "FILE",
           "One prompt a line; or a .json file with a list of strings")
      .path();
  flags.add("negative-prompt", request.negative_prompt, "TEXT",
            "What to keep away from; needs --true-cfg-scale above 1");
  flags.add("true-cfg-scale", request.true_cfg_scale, "X",
            "Classifier-free guidance with the negative prompt: two evaluations a step (1: off)");
  declare_output(flags, request, output);
  shared.declare_run();
  flags.add("tune-kernels", request.tune_kernels,
            "Search the kernels for these shapes first, half a minute a product, and keep them in "
            "--kernel-table");
  const SglangFlags sglang(flags);
  flags.epilog(kExamples + SglangFlags::help());
  if (!flags.parse(arguments)) return ExitCode::done;

  sglang.check();
  if (request.sources.model_path.empty()) refuse("--model-path is required");
  shared.finish_sampling();
  shared.finish_run();
  finish_prompts(request, output);
  finish_output(request, output);
  resolve_sources(request.sources);
  request.command = {"ditq", "generate"};
  request.command.insert(request.command.end(), arguments.begin(), arguments.end());
  const GenerateResult result = load_engine().generate(request);
  write_output(dump_json(result.summary, {.indent = 2}) + "\n");
  return ExitCode::done;
}

}  // namespace ditq
