#pragma once
// Which kernel multiplies NVFP4 matrices: SGLang's names, what was asked for, and what runs here instead.

#include <string>

#include "base/json.h"
#include "pipeline/engine.h"

namespace ditq {

/// The environment variable of SGLang, read where no flag decides.
inline constexpr const char* kFp4BackendVariable = "SGLANG_DIFFUSION_FLASHINFER_FP4_GEMM_BACKEND";

/// A choice and its outcome.
struct Fp4Backend {
  std::string
      requested;  ///< "trtllm", "flashinfer_cudnn", … as SGLang spells them; "default" without a choice
  std::string from;     ///< "--fp4-gemm-backend", the environment variable, or "default"
  std::string running;  ///< what multiplies here
  std::string reason;   ///< why it is not the one asked for; empty without a choice
};

/// The backend for this run on a CPU or a GPU without FP4 units. A name in the environment that does not exist is
/// warned about and ignored, as SGLang does.
/// Errors: usage for a flag's value that does not exist.
/// Source: SGLang bridge 4.9.
Fp4Backend choose_fp4_backend(const RunOptions& options, bool gpu = false);

/// For perf.json.
Json to_json(const Fp4Backend& backend);

}  // namespace ditq
