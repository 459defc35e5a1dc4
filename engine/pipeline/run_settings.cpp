#include "pipeline/run_settings.h"

#include <ATen/Parallel.h>

#include "pipeline/machine_state.h"

namespace ditq {
namespace {

/// "cuda:0 (NVIDIA H200)" without its number.
Json device_model(const std::string& device) {
  if (device == "cpu") return cpu_model();
  const std::size_t open = device.find(" (");
  return device.substr(open + 2, device.size() - open - 3);
}

Json offload_document() {
  // Networks stay where they are; --dit-cpu-offload is forced off or refused.
  return {{"dit_cpu_offload", false},
          {"dit_layerwise_offload", false},
          {"text_encoder_cpu_offload", false},
          {"image_encoder_cpu_offload", false},
          {"vae_cpu_offload", false}};
}

Json topology_document() {
  return {{"num_gpus", 1},       {"tp_size", 1},     {"sp_degree", 1},
          {"ulysses_degree", 1}, {"ring_degree", 1}, {"enable_cfg_parallel", false}};
}

}  // namespace

Json settings_document(const RunSettings& settings, const PipelineDescription& pipeline) {
  const PictureRequest& picture = settings.picture;
  const bool gpu = pipeline.device != "cpu";
  const bool fp8_attention = pipeline.attention.fp8;
  const bool table = gpu && !settings.run.kernel_table.empty();
  return {{"prompt", picture.prompt},
          {"negative_prompt", picture.negative_prompt},
          {"seed", picture.seed},
          {"width", picture.width},
          {"height", picture.height},
          {"num_frames", 1},
          {"num_inference_steps", picture.steps},
          {"guidance_scale", picture.guidance_scale},
          {"true_cfg_scale", picture.true_cfg_scale},
          {"max_sequence_length", picture.max_sequence_length},
          {"initial_latents", picture.latents.empty() ? "seed" : picture.latents},
          {"generator_device", picture.generator_device},
          {"family", pipeline.family},
          {"variant", pipeline.variant},
          {"dtype", pipeline.dtype},
          {"device", gpu ? "cuda" : "cpu"},
          {"device_model", device_model(pipeline.device)},
          {"threads", gpu ? Json(nullptr) : Json(at::get_num_threads())},
          {"clip_tokenizer", settings.run.clip_tokenizer},
          {"nvfp4_activations", settings.run.nvfp4_activations},
          {"fp8_accumulation", settings.run.fp8_accumulation},
          {"kernel_table", table ? Json(settings.run.kernel_table) : Json(nullptr)},
          {"attention_backend", pipeline.attention.name()},
          {"fp8_attention_steps", fp8_attention ? Json(pipeline.attention.range) : Json(nullptr)},
          {"fp4_gemm_backend",
           pipeline.fp4_backend ? Json(pipeline.fp4_backend->requested) : Json(nullptr)},
          {"vae_tiling", pipeline.vae_tiling},
          {"offload", offload_document()},
          {"topology", topology_document()},
          {"graphs", gpu},  // a GPU's steps are recorded once and replayed (models/flux1_steps.h)
          {"compile", false},
          {"profiler", false},
          {"step_cache", false},
          {"warmup_runs", settings.warmup_runs}};
}

}  // namespace ditq
