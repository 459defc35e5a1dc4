#include "pipeline/device.h"

#include <cstdlib>

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "kernels/cuda_device.h"

namespace ditq {

at::Device choose_device(const std::string& name) {
  if (name == "cpu") return at::kCPU;
  CudaDevice* device = find_cuda();
  if (device == nullptr) {
    if (!name.empty()) {
      throw Error(ErrorCode::unsupported, "there is no CUDA device to run on",
                  {.expected = "--device cpu, or a build and a machine that have one",
                   .found = why_no_cuda()});
    }
    log_verbose("running on the CPU: " + why_no_cuda());
    return at::kCPU;
  }
  const std::size_t colon = name.find(':');
  const int index = colon == std::string::npos ? 0 : std::atoi(name.c_str() + colon + 1);
  device->use(index);
  return {at::kCUDA, static_cast<at::DeviceIndex>(index)};
}

std::string device_name(const at::Device& device) {
  if (device.is_cpu()) return "cpu";
  return fmt::format("cuda:{} ({})", device.index(), cuda().info().name);
}

}  // namespace ditq
