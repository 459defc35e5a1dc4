// ditq quantize: post-training quantization with the flags of ModelOpt's quantize.py. Calibration and SVDQuant's joint
// branches run in the engine; everything else is ptq/quantize.h.

#include "ptq/quantize.h"

#include <cstdio>
#include <optional>

#include "commands.h"
#include "convert/paths.h"
#include "engine_loader.h"
#include "flags.h"
#include "quantize_flags.h"
#include "terminal.h"

namespace ditq {
namespace {

constexpr const char* kExamples =
    "Examples\n"
    "  ditq quantize --model flux-dev --override-model-path models/tiny-flux --format fp8 \\\n"
    "    --prompts-file prompts.txt --calib-size 8 --batch-size 1 --n-steps 4 --height 256 --width "
    "256 \\\n"
    "    --quantized-torch-ckpt-save-path ckpt --hf-ckpt-dir hf\n"
    "  ditq quantize --model flux-dev --override-model-path models/tiny-flux --restore-from ckpt "
    "\\\n"
    "    --hf-ckpt-dir hf-again\n";

/// A file beside an output, gone with its owner.
class ScratchFile {
 public:
  explicit ScratchFile(std::string path) : path_(std::move(path)) {}
  ~ScratchFile() { std::remove(path_.c_str()); }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

ExitCode run_quantize(const Arguments& arguments) {
  Flags flags(
      "quantize", "--format FORMAT --prompts-file FILE --hf-ckpt-dir DIR [flags]",
      "Quantize a pipeline as NVIDIA ModelOpt's quantize.py does: calibrate on prompts, then "
      "write the torch checkpoint and the Hugging Face export, equal to ModelOpt's bit for "
      "bit. Flag names are ModelOpt's.\n"
      "Prints what was done as JSON on stdout.");
  QuantizeFlags quantize_flags(flags);
  flags.epilog(kExamples);
  if (!flags.parse(arguments)) return ExitCode::done;

  QuantizeRequest request = quantize_flags.export_request();
  const auto calibrate = quantize_flags.calibrate_request(request);
  for (const std::string& component : backbones_of(request)) {
    if (request.beyond.weights_only) break;
    request.states[component] =
        calibrate ? calibrate->state_file : quantize_flags.restored_state(component);
  }
  check_quantize(request);
  Json summary = Json::object();
  if (calibrate) summary["calibration"] = load_engine().calibrate(*calibrate).summary;
  std::optional<ScratchFile> unified;
  request.unify = [&](const UnifyGroups& asked) {
    unified.emplace(resolve_output_dir(request.hf_folder) + ".joint-branches.safetensors");
    load_engine().unify_svdquant({.base_folder = asked.base_folder,
                                  .state = asked.state,
                                  .groups = asked.groups,
                                  .rank = asked.rank,
                                  .output = unified->path()});
    return unified->path();
  };
  summary.update(quantize(request));
  write_output(dump_json(summary, {.indent = 2}) + "\n");
  return ExitCode::done;
}

}  // namespace ditq
