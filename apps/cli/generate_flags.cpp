#include "generate_flags.h"

#include <algorithm>
#include <array>
#include <charconv>

#include <fmt/format.h>

#include "base/error.h"
#include "model_path.h"

namespace ditq {
namespace {

/// "cpu", "cuda" or "cuda:N".
bool is_device(const std::string& text) {
  if (text == "cpu" || text == "cuda") return true;
  if (!text.starts_with("cuda:") || text.size() == 5 || text.size() > 8) return false;
  return text.find_first_not_of("0123456789", 5) == std::string::npos;
}

}  // namespace

void GenerateFlags::declare_sources() {
  flags_.group("What to load");
  flags_
      .add("model-path", request_.sources.model_path, "DIR",
           "Pipeline folder (diffusers layout), or owner/name in the local Hugging Face cache")
      .path();
  flags_.add(
      "model-id", request_.sources.model_id, "NAME",
      "Repeated in reports; ditq tells the model by its files, whatever the folder is called");
  flags_.component_paths(request_.sources.components,
                         "Replaces one component, config included: --transformer-path, --vae-path, "
                         "--text-encoder-path …; also --component-paths.vae=DIR");
  flags_
      .add("transformer-weights-path", request_.sources.transformer_weights_path, "PATH",
           "Replaces the transformer's weights only: a .safetensors file or a folder")
      .path()
      .alias("transformer-quantized-path")
      .alias("quantized-model-path");
}

void GenerateFlags::declare_sampling() {
  flags_.group("What to make");
  flags_.add("prompt", request_.prompts, "TEXT", "What the picture shows; may be repeated");
  flags_.add("seed", request_.seed, "N",
             "Seed of the noise (42); output i of a prompt takes seed + i");
  flags_.add("height", request_.height, "N", "Pixels; default: the model's").at_least(1);
  flags_.add("width", request_.width, "N", "Pixels; default: the model's").at_least(1);
  flags_.add("4k", is_4k_, "3840 x 2160").hidden();
  flags_.add("2k", is_2k_, "2560 x 1440").hidden();
  flags_.add("1080p", is_1080p_, "1920 x 1080").hidden();
  flags_.add("720p", is_720p_, "Size presets, width x height: --720p, --1080p, --2k, --4k");
  flags_
      .add("num-inference-steps", request_.num_inference_steps, "N",
           "Denoising steps; default: the model's")
      .at_least(1);
  flags_.add("guidance-scale", request_.guidance_scale, "X",
             "How closely to follow the prompt; default: the model's");
  flags_
      .add("max-sequence-length", request_.max_sequence_length, "N",
           "Tokens of the long text encoder; default: the model's")
      .at_least(1);
  flags_
      .add("latents", request_.latents, "FILE[:NAME]",
           "Initial latents (safetensors, packed or not) instead of noise from the seed")
      .path();
  flags_
      .add("generator-device", request_.generator_device, "DEVICE",
           "Where the noise is drawn: cpu (the default: torch.Generator(\"cpu\")) or cuda")
      .choices({"cpu", "cuda"});
}

void GenerateFlags::declare_run() {
  flags_.group("How it runs");
  flags_.add("device", request_.run.device, "DEVICE",
             "cuda or cuda:N (the default where there is one), or cpu");
  flags_
      .add("dtype", request_.run.dtype, "DTYPE",
           "Arithmetic of what is not quantized: bf16 (default) or fp32")
      .choices({"bf16", "fp32"});
  flags_
      .add("clip-tokenizer", request_.run.clip_tokenizer, "CLASS",
           "Which of transformers' CLIP classes to follow: fast (SGLang, transformers 5; default) "
           "or slow")
      .choices({"fast", "slow"});
  flags_
      .add("nvfp4-activations", request_.run.nvfp4_activations, "KIND",
           "NVFP4 layers: fp4 (default) quantizes activations as FP4 units need them, on every "
           "device; bf16 keeps them")
      .choices({"fp4", "bf16"});
  flags_.add("fp4-gemm-backend", request_.run.fp4_gemm_backend, "NAME",
             "SGLang's FP4 kernels: auto, cudnn, cutlass, trtllm, flashinfer_cudnn, "
             "flashinfer_cutlass, flashinfer_trtllm; recorded, and replaced where there is no FP4 "
             "unit");
  flags_
      .add("fp8-accumulation", request_.run.fp8_accumulation, "MODE",
           "FP8 products on a GPU: fast (default: sums stay in the matrix units, as in SGLang) or "
           "precise (f32 in between)")
      .choices({"fast", "precise"});
  flags_
      .add("kernel-table", request_.run.kernel_table, "FILE",
           "On a GPU: which of cuBLASLt's kernels runs each product, as 'ditq generate "
           "--tune-kernels true' found it")
      .path();
  flags_.add("attention-backend", request_.run.attention_backend, "NAME",
             "auto (default: the fastest that runs), ditq (bf16 heads of 128 channels on Hopper), "
             "cudnn (bf16 on Hopper and later), torch_sdpa, or fp8: queries, keys, values and the "
             "softmax's weights in E4M3, on a CPU emulated");
  flags_.add("fp8-attention-steps", request_.run.fp8_attention_steps, "FIRST:LAST",
             "Steps in which --attention-backend fp8 counts, as a slice of Python's (1:-1: all but "
             "the first and the last; ':' all)");
  flags_.add("vae-tiling", vae_tiling_,
             "Decode in tiles of the VAE's training size, with blended seams: less memory, other "
             "pixels (default: on a GPU that has no room for whole pictures)");
  flags_.add("dit-cpu-offload", request_.run.dit_cpu_offload, "Offload the transformer").hidden();
}

void GenerateFlags::finish_sampling() {
  struct Preset {
    bool chosen;
    const char* flag;
    std::int64_t width, height;
  };
  const std::array<Preset, 4> presets = {{{is_4k_, "4k", 3840, 2160},
                                          {is_2k_, "2k", 2560, 1440},
                                          {is_1080p_, "1080p", 1920, 1080},
                                          {is_720p_, "720p", 1280, 720}}};
  for (const Preset& preset : presets) {
    if (!preset.chosen) continue;
    if (request_.width || request_.height) {
      throw Error(ErrorCode::usage,
                  fmt::format("--{} is a size, and another one is given; keep one", preset.flag));
    }
    request_.width = preset.width;
    request_.height = preset.height;
  }
}

void GenerateFlags::finish_run() const {
  if (flags_.given("vae-tiling")) request_.run.vae_tiling = vae_tiling_;
  if (request_.run.device.empty() || is_device(request_.run.device)) return;
  throw Error(ErrorCode::usage, "--device: unknown device",
              {.expected = "cpu, cuda or cuda:N", .found = "'" + request_.run.device + "'"});
}

void resolve_sources(PipelineSources& sources) {
  sources.model_path = resolve_model_path(sources.model_path, "--model-path");
  check_components(sources.model_path, sources.components);
  for (auto& [component, path] : sources.components) {
    std::string flag = "--" + component + "-path";
    std::replace(flag.begin(), flag.end(), '_', '-');
    path = resolve_model_path(path, flag);
  }
  if (!sources.transformer_weights_path.empty()) {
    sources.transformer_weights_path =
        resolve_model_path(sources.transformer_weights_path, "--transformer-weights-path");
  }
}

}  // namespace ditq
