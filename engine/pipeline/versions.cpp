#include "pipeline/versions.h"

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <fmt/format.h>
#include <torch/headeronly/version.h>

#include "kernels/cuda_device.h"
#include "ops/gemm.h"

namespace ditq {

Json version_document() {
  return {{"ditq", DITQ_VERSION}, {"libtorch", TORCH_VERSION}};
}

std::string kernel_names(const std::string& device) {
  if (device != "cpu") return "own kernels, " + cuda().libraries();
  const GemmSupport& support = gemm_support();
  return (support.panels ? "brgemm bf16: " : "f32 gemm: ") + support.reason;
}

EngineInfo engine_info() {
  // Before anything of torch is asked: it remembers whether there was CUDA.
  const CudaDevice* device = find_cuda();
  EngineInfo out{.libtorch = TORCH_VERSION,
                 .cpu_capability = at::get_cpu_capability(),
                 .threads = at::get_num_threads(),
                 .devices = {},
                 .cuda = device == nullptr ? why_no_cuda() : device->libraries()};
  out.devices.push_back({.name = "cpu", .model = out.cpu_capability});
  if (device == nullptr) return out;
  constexpr double kGib = 1 << 30;
  for (const CudaDeviceInfo& info : device->devices()) {
    out.devices.push_back({.name = fmt::format("cuda:{}", out.devices.size() - 1),
                           .model = info.name,
                           .capability = fmt::format("{}.{}", info.major, info.minor),
                           .memory_gib = static_cast<double>(info.memory) / kGib});
  }
  return out;
}

}  // namespace ditq
