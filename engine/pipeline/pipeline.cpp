#include "pipeline/pipeline.h"

#include <utility>

#include "base/error.h"
#include "convert/component_source.h"
#include "kernels/cuda_device.h"
#include "pipeline/components.h"
#include "pipeline/device.h"
#include "pipeline/flux1.h"
#include "pipeline/kernel_table.h"

namespace ditq {
namespace {

void check_options(const RunOptions& options) {
  if (options.dtype != "bf16" && options.dtype != "fp32") {
    throw Error(ErrorCode::usage, "unknown --dtype",
                {.expected = "bf16 or fp32", .found = options.dtype});
  }
  if (options.nvfp4_activations != "fp4" && options.nvfp4_activations != "bf16") {
    throw Error(ErrorCode::usage, "unknown --nvfp4-activations",
                {.expected = "fp4 or bf16", .found = options.nvfp4_activations});
  }
  if (options.fp8_accumulation != "fast" && options.fp8_accumulation != "precise") {
    throw Error(ErrorCode::usage, "unknown --fp8-accumulation",
                {.expected = "fast or precise", .found = options.fp8_accumulation});
  }
  if (options.clip_tokenizer != "fast" && options.clip_tokenizer != "slow") {
    throw Error(ErrorCode::usage, "unknown --clip-tokenizer",
                {.expected = "fast or slow", .found = options.clip_tokenizer});
  }
}

std::unique_ptr<Pipeline> load(const PipelineSources& sources,
                               const RunOptions& options,
                               std::shared_ptr<LayerSwitch> layers) {
  check_options(options);
  const at::Device device = choose_device(options.device);
  if (device.is_cuda()) cuda().use_fast_accumulation(options.fp8_accumulation == "fast");
  if (!options.kernel_table.empty()) read_kernel_table(options.kernel_table, device.is_cuda());
  const ComponentFolders folders(sources);
  if (folders.pipeline_class() == "FluxPipeline")
    return load_flux1(folders, sources, options, device, std::move(layers));
  throw Error(
      ErrorCode::unsupported, "ditq does not run this pipeline yet",
      {.path = sources.model_path, .expected = "FluxPipeline", .found = folders.pipeline_class()});
}

}  // namespace

std::unique_ptr<Pipeline> load_pipeline(const PipelineSources& sources, const RunOptions& options) {
  return load(sources, options, nullptr);
}

SwitchedPipeline load_switched_pipeline(const PipelineSources& sources,
                                        const PipelineSources& other,
                                        const RunOptions& options) {
  const TransformerSource second = resolve_transformer(ComponentFolders(other).place("transformer"),
                                                       other.transformer_weights_path);
  const auto layers = std::make_shared<LayerSwitch>(second.tensors, second.quant);
  return {.pipeline = load(sources, options, layers), .layers = layers};
}

}  // namespace ditq
