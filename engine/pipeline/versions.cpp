#include "pipeline/versions.h"

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/headeronly/version.h>

#include "ops/gemm.h"

namespace ditq {

Json version_document() {
  return {{"ditq", DITQ_VERSION}, {"libtorch", TORCH_VERSION}};
}

std::string kernel_names() {
  const GemmSupport& support = gemm_support();
  return (support.panels ? "brgemm bf16: " : "f32 gemm: ") + support.reason;
}

EngineInfo engine_info() {
  return {.libtorch = TORCH_VERSION,
          .cpu_capability = at::get_cpu_capability(),
          .threads = at::get_num_threads(),
          .devices = {"cpu"}};
}

}  // namespace ditq
