#include "pipeline/pipeline.h"

#include "base/error.h"
#include "pipeline/components.h"
#include "pipeline/flux1.h"

namespace ditq {
namespace {

void check_options(const RunOptions& options) {
  if (options.device != "cpu") {
    throw Error(ErrorCode::unsupported, "this build runs on the CPU only",
                {.expected = "--device cpu", .found = "--device " + options.device});
  }
  if (options.dtype != "bf16" && options.dtype != "fp32") {
    throw Error(ErrorCode::usage, "unknown --dtype",
                {.expected = "bf16 or fp32", .found = options.dtype});
  }
  if (options.nvfp4_activations != "fp4" && options.nvfp4_activations != "bf16") {
    throw Error(ErrorCode::usage, "unknown --nvfp4-activations",
                {.expected = "fp4 or bf16", .found = options.nvfp4_activations});
  }
  if (options.clip_tokenizer != "fast" && options.clip_tokenizer != "slow") {
    throw Error(ErrorCode::usage, "unknown --clip-tokenizer",
                {.expected = "fast or slow", .found = options.clip_tokenizer});
  }
}

}  // namespace

std::unique_ptr<Pipeline> load_pipeline(const PipelineSources& sources, const RunOptions& options) {
  check_options(options);
  const ComponentFolders folders(sources);
  if (folders.pipeline_class() == "FluxPipeline") return load_flux1(folders, sources, options);
  throw Error(
      ErrorCode::unsupported, "ditq does not run this pipeline yet",
      {.path = sources.model_path, .expected = "FluxPipeline", .found = folders.pipeline_class()});
}

}  // namespace ditq
