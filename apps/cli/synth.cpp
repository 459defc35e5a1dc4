// ditq synth: checkpoints of random weights over convert/synth.h.

#include "convert/synth.h"

#include "commands.h"
#include "flags.h"
#include "terminal.h"

namespace ditq {
namespace {

constexpr const char* kExample =
    "Example\n"
    "  ditq synth --family flux1 --variant dev --scheme fp8 --output-dir flux1-dev-fp8-random\n"
    "  ditq inspect flux1-dev-fp8-random\n"
    "  ditq synth --all-components --tokenizers-from models/tiny-flux --scheme fp8 --output-dir "
    "flux1-dev-random\n"
    "  ditq generate --model-path flux1-dev-random --prompt anything\n";

}  // namespace

ExitCode run_synth(const Arguments& arguments) {
  SynthRequest request;
  Flags flags("synth", "--output-dir DIR [flags]",
              "Make a full-size transformer, or a whole pipeline, of random weights, so that speed "
              "and memory can be measured without a download. Equal flags make equal bytes on "
              "every machine.\n"
              "Prints what was made as JSON on stdout.");
  flags.group("What to make");
  flags.add("family", request.family, "NAME", "Model family (flux1)");
  flags.add("variant", request.variant, "NAME", "Published size: dev (default), schnell; or tiny");
  flags.add("scheme", request.scheme, "SCHEME", "Encoding of the blocks' linear layers (bf16)")
      .choices({"bf16", "fp8", "nvfp4"});
  flags
      .add("fallback-set", request.fallback_set, "SET",
           "Layers that stay in BF16 in a quantized checkpoint: none (default) or documented, the "
           "set of the public "
           "documentation")
      .choices({"none", "documented"});
  flags.add("seed", request.seed, "N", "Seed of the weights (0)");
  flags.add("all-components", request.all_components,
            "Make the whole pipeline: text encoders, VAE and scheduler too; FLUX.1-dev takes 33 GB "
            "in BF16, 22 GB in FP8. 'ditq generate' runs it, its pictures show noise");
  flags
      .add("tokenizers-from", request.tokenizers_from, "DIR",
           "With --all-components: a pipeline whose tokenizers are copied, since they cannot be "
           "random; models/tiny-flux of ditq's source has small ones that fit")
      .path();
  flags.group("Output");
  flags.add("output-dir", request.output_dir, "DIR", "Folder to create").required().path();
  flags.add("overwrite", request.overwrite,
            "Replace an existing folder, once the new one is complete");
  flags.epilog(kExample);
  if (!flags.parse(arguments)) return ExitCode::done;
  write_output(to_json_text(synth(request)) + "\n");
  return ExitCode::done;
}

}  // namespace ditq
