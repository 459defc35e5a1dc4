#include "pipeline/fp4_backend.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <string_view>

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"

namespace ditq {
namespace {

constexpr std::array<std::string_view, 7> kNames = {"auto",
                                                    "cudnn",
                                                    "cutlass",
                                                    "trtllm",
                                                    "flashinfer_cudnn",
                                                    "flashinfer_cutlass",
                                                    "flashinfer_trtllm"};
constexpr const char* kExpected =
    "auto, cudnn, cutlass, trtllm, flashinfer_cudnn, flashinfer_cutlass or flashinfer_trtllm";
constexpr const char* kRunning = "cpu_emulation";
constexpr const char* kRunningOnGpu = "cublaslt_bf16_emulation";

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

bool is_backend(const std::string& name) {
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

std::string from_environment() {
  const char* value = std::getenv(kFp4BackendVariable);
  if (value == nullptr || *value == '\0') return {};
  const std::string name = lower(value);
  if (is_backend(name)) return name;
  log_warning(fmt::format("{}='{}' is no FP4 backend ({}): the default is taken",
                          kFp4BackendVariable, value, kExpected));
  return {};
}

}  // namespace

Fp4Backend choose_fp4_backend(const RunOptions& options, bool gpu) {
  Fp4Backend out{.requested = "default",
                 .from = "default",
                 .running = gpu ? kRunningOnGpu : kRunning,
                 .reason = {}};
  if (!options.fp4_gemm_backend.empty()) {
    out.requested = lower(options.fp4_gemm_backend);
    out.from = "--fp4-gemm-backend";
    if (!is_backend(out.requested)) {
      throw Error(ErrorCode::usage, "unknown FP4 backend",
                  {.expected = kExpected, .found = "'" + options.fp4_gemm_backend + "'"});
    }
  } else if (options.fp4_backend_environment) {
    const std::string name = from_environment();
    if (!name.empty()) {
      out.requested = name;
      out.from = kFp4BackendVariable;
    }
  }
  if (out.requested != "default" && out.requested != "auto") {
    out.reason =
        fmt::format("'{}' is a kernel of FlashInfer for GPUs with FP4 units", out.requested);
  }
  return out;
}

Json to_json(const Fp4Backend& backend) {
  return {{"requested", backend.requested},
          {"from", backend.from},
          {"running", backend.running},
          {"reason", backend.reason.empty() ? Json(nullptr) : Json(backend.reason)}};
}

}  // namespace ditq
