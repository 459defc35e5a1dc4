#pragma once
// perf.json documents for tests: as SGLang writes them, and as ditq does.

#include <string>

#include "base/error.h"
#include "base/json.h"
#include "perf/perf_file.h"

namespace ditq::test {

/// What sglang generate --perf-dump-path writes, with `steps` denoising steps.
inline Json sglang_document(std::size_t steps = 4, const std::string& prompt = "a cat") {
  Json denoise = Json::array();
  for (std::size_t i = 0; i < steps; ++i) denoise.push_back({{"step", i}, {"duration_ms", 100.0}});
  return {{"timestamp", "2026-04-01T00:00:00+00:00"},
          {"request_id", "b1f0"},
          {"commit_hash", "4b6ee06"},
          {"tag", "cli_generate"},
          {"total_duration_ms", 1000.0},
          {"steps",
           {{{"name", "InputValidationStage"}, {"duration_ms", 1.0}},
            {{"name", "TextEncodingStage"}, {"duration_ms", 200.0}},
            {{"name", "DenoisingStage"}, {"duration_ms", 600.0}},
            {{"name", "DecodingStage"}, {"duration_ms", 150.0}}}},
          {"denoise_steps_ms", denoise},
          {"memory_checkpoints",
           {{"after_forward",
             {{"allocated_mb", 100.0},
              {"reserved_mb", 200.0},
              {"peak_allocated_mb", 300.0},
              {"peak_reserved_mb", 2048.0}}},
            {"before_forward", {{"peak_reserved_mb", 1024.0}}}}},
          {"meta", {{"prompt", prompt}, {"model", "black-forest-labs/FLUX.1-dev"}}}};
}

/// The same with ditq's settings under meta.
inline Json ditq_document() {
  Json out = sglang_document();
  out["meta"]["seed"] = 42;
  out["meta"]["device"] = "cuda:0 (NVIDIA H100 80GB HBM3)";
  out["meta"]["settings"] = {{"prompt", "a cat"},
                             {"negative_prompt", ""},
                             {"seed", 42},
                             {"width", 1024},
                             {"height", 1024},
                             {"num_frames", 1},
                             {"num_inference_steps", 4},
                             {"guidance_scale", 3.5},
                             {"true_cfg_scale", 1.0},
                             {"dtype", "bf16"},
                             {"device", "cuda"},
                             {"device_model", "NVIDIA H100 80GB HBM3"},
                             {"attention_backend", "cudnn"},
                             {"fp4_gemm_backend", "default"},
                             {"nvfp4_activations", "fp4"},
                             {"offload", {{"dit_cpu_offload", false}, {"vae_cpu_offload", false}}},
                             {"topology", {{"num_gpus", 1}, {"ulysses_degree", 1}}},
                             {"graphs", true},
                             {"compile", false},
                             {"profiler", false},
                             {"warmup_runs", 1}};
  return out;
}

inline PerfFile perf_of(const Json& document) {
  return parse_perf(document, "x.perf.json");
}

/// The message of the error that a document raises, "code: message"; empty where there is none.
template <typename Call>
std::string error_of(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return std::string(name(error.code())) + ": " + error.what();
  }
  return {};
}

}  // namespace ditq::test
