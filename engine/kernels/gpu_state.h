#pragma once
// Clocks, temperature and power of a GPU, as NVIDIA's management library (NVML) tells them. The library is opened when
// asked and belongs to the driver: where it is not there, nothing is known, and that is no error.

#include <optional>
#include <string>
#include <vector>

namespace ditq {

/// What is readable of one GPU at one moment.
struct GpuState {
  std::optional<unsigned> sm_clock_mhz;
  std::optional<unsigned> sm_clock_max_mhz;
  std::optional<unsigned> memory_clock_mhz;
  std::optional<unsigned> memory_clock_max_mhz;
  std::optional<unsigned> temperature_c;
  std::optional<double> power_w;
  std::optional<double> power_limit_w;
  /// Why clocks are lower than they could be: "sw_power_cap", "hw_thermal_slowdown", …; an idle GPU and clocks that
  /// somebody set are no throttling.
  std::vector<std::string> throttled_by;
};

/// The PCI bus id ("0000:1B:00.0") of CUDA's device `index`, which CUDA_VISIBLE_DEVICES may have reordered; empty where
/// the driver does not tell.
std::string pci_bus_id(int index);

/// The state of the GPU at a PCI bus id; nothing where the library or the GPU is not there.
/// Source: NVML API reference (nvml.h), which keeps its entry points.
std::optional<GpuState> read_gpu_state(const std::string& pci_bus_id,
                                       const std::string& library = "libnvidia-ml.so.1");

}  // namespace ditq
