// ditq build-nvfp4: flags of SGLang's build_modelopt_nvfp4_transformer over convert/build_nvfp4.h.

#include "convert/build_nvfp4.h"

#include "commands.h"
#include "flags.h"
#include "pipeline_flags.h"
#include "terminal.h"

namespace ditq {
namespace {

constexpr const char* kExample =
    "Example\n"
    "  ditq build-nvfp4 --base-transformer-dir FLUX.1-dev --modelopt-hf-dir export/hf \\\n"
    "    --pattern-preset flux1-nvfp4 --output-dir flux1-dev-nvfp4\n";

}  // namespace

ExitCode run_build_nvfp4(const Arguments& arguments) {
  BuildNvfp4Request request;
  bool swap_weight_nibbles = false;
  PipelineFlags pipeline;
  Flags flags(
      "build-nvfp4", "--base-transformer-dir DIR --modelopt-hf-dir DIR --output-dir DIR [flags]",
      "Turn a ModelOpt NVFP4 export into a transformer folder of BF16 and NVFP4 layers: the "
      "same tensors, bit for bit, that SGLang's own builder writes. Nothing is written "
      "before everything was checked.\n"
      "Prints what was done as JSON on stdout.");
  flags.group("Input");
  flags
      .add("base-transformer-dir", request.base_transformer_dir, "DIR",
           "The original BF16 transformer or its parent; layers that stay in BF16 come from here")
      .required()
      .path();
  flags
      .add("modelopt-hf-dir", request.modelopt_hf_dir, "DIR",
           "ModelOpt's --hf-ckpt-dir output, or its transformer folder")
      .required()
      .path();
  flags.group("Output");
  flags.add("output-dir", request.output_dir, "DIR", "Folder to create").required().path();
  flags.add("overwrite", request.overwrite,
            "Replace an existing folder, once the new one is complete");
  flags.group("Which layers stay in BF16");
  flags
      .add("pattern-preset", request.pattern_preset, "PRESET",
           "none (the default) or flux1-nvfp4: modulation and feed-forward layers of FLUX.1")
      .choices(nvfp4_presets());
  flags.add("keep-bf16-pattern", request.keep_bf16_patterns, "NAME",
            "Module name in which * stands for any characters; the whole name matches; may be "
            "repeated");
  flags.group("Byte order");
  flags.add(
      "swap-weight-nibbles", swap_weight_nibbles,
      "What the config tells loaders: whether to exchange the halves of every weight byte. "
      "ModelOpt's exports need --no-swap-weight-nibbles; without either flag it is false with "
      "a preset and true without, as in SGLang up to 0.5.12");
  add_pipeline_flags(flags, pipeline);
  flags.epilog(kExample);
  if (!flags.parse(arguments)) return ExitCode::done;

  request.limits = parse_pipeline_flags(pipeline);
  if (flags.given("swap-weight-nibbles")) request.swap_weight_nibbles = swap_weight_nibbles;
  write_output(to_json_text(build_nvfp4(request)) + "\n");
  return ExitCode::done;
}

}  // namespace ditq
