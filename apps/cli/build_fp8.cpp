// ditq build-fp8: flags of SGLang's build_modelopt_fp8_transformer over convert/build_fp8.h.

#include "convert/build_fp8.h"

#include "commands.h"
#include "flags.h"
#include "pipeline_flags.h"
#include "terminal.h"

namespace ditq {
namespace {

constexpr const char* kExample =
    "Example\n"
    "  ditq build-fp8 --modelopt-hf-dir export/hf --modelopt-backbone-ckpt "
    "export/ckpt/transformer.pt \\\n"
    "    --base-transformer-dir FLUX.1-dev --output-dir flux1-dev-fp8\n";

}  // namespace

ExitCode run_build_fp8(const Arguments& arguments) {
  BuildFp8Request request;
  std::string fallback_set = "documented";
  PipelineFlags pipeline;
  Flags flags("build-fp8",
              "--modelopt-hf-dir DIR --modelopt-backbone-ckpt FILE --output-dir DIR [flags]",
              "Turn a ModelOpt FP8 export into a transformer folder that SGLang and ditq load: the "
              "same tensors, bit "
              "for bit, that SGLang's own builder writes. Nothing is written before everything was "
              "checked.\n"
              "Prints what was done as JSON on stdout.");
  flags.group("Input");
  flags
      .add("modelopt-hf-dir", request.modelopt_hf_dir, "DIR",
           "ModelOpt's --hf-ckpt-dir output, or its transformer folder")
      .required()
      .path();
  flags
      .add("modelopt-backbone-ckpt", request.modelopt_backbone_ckpt, "FILE",
           "The torch checkpoint with the calibrated amax values, or a folder with a backbone.pt")
      .required()
      .path();
  flags
      .add("base-transformer-dir", request.base_transformer_dir, "DIR",
           "The original BF16 transformer or its parent; layers that stay in BF16 come from here")
      .path();
  flags.group("Output");
  flags.add("output-dir", request.output_dir, "DIR", "Folder to create").required().path();
  flags.add("overwrite", request.overwrite,
            "Replace an existing folder, once the new one is complete");
  flags.group("Which layers stay in BF16");
  flags
      .add("model-type", request.model_type, "TYPE",
           "Profile of BF16 layers: auto (by the config's class), flux1, flux2, ltx2, "
           "hunyuan-video, qwen-image, none")
      .choices(fp8_model_types());
  flags
      .add("fallback-set", fallback_set, "SET",
           "FLUX.1 only: documented (as SGLang's documentation says, the default) or upstream (as "
           "its code does, which "
           "leaves proj_mlp in FP8)")
      .choices({"documented", "upstream"});
  flags.add("keep-bf16-pattern", request.keep_bf16_patterns, "RE",
            "Python regular expression on module names, searched; may be repeated");
  flags.add("maxbound", request.maxbound, "X", "Divisor that turns an amax into a scale (448)");
  add_pipeline_flags(flags, pipeline);
  flags.epilog(kExample);
  if (!flags.parse(arguments)) return ExitCode::done;

  request.limits = parse_pipeline_flags(pipeline);
  request.fallback_set = parse_fallback_set(fallback_set);
  write_output(to_json_text(build_fp8(request)) + "\n");
  return ExitCode::done;
}

}  // namespace ditq
