#include "kernels/gpu_state.h"

#include <array>

#include <dlfcn.h>

#include "base/log.h"

namespace ditq {
namespace {

/// nvmlDevice_t, nvmlReturn_t (0: success) and the numbers of nvml.h that are needed.
using Device = void*;
constexpr int kSmClock = 1;
constexpr int kMemoryClock = 2;
constexpr int kGpuSensor = 0;

struct Cause {
  unsigned long long bit;
  const char* name;
};
constexpr std::array kCauses = {
    Cause{0x04, "sw_power_cap"},
    Cause{0x08, "hw_slowdown"},
    Cause{0x20, "sw_thermal_slowdown"},
    Cause{0x40, "hw_thermal_slowdown"},
    Cause{0x80, "hw_power_brake_slowdown"},
};

/// The library, opened and initialised for as long as this lives.
class Nvml {
 public:
  explicit Nvml(const std::string& library)
      : handle_(::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (handle_ == nullptr) return;
    const auto init = function<int (*)()>("nvmlInit_v2");
    is_ready_ = init != nullptr && init() == 0;
  }
  ~Nvml() {
    if (is_ready_) {
      if (const auto shutdown = function<int (*)()>("nvmlShutdown")) shutdown();
    }
    if (handle_ != nullptr) ::dlclose(handle_);
  }
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  bool is_ready() const { return is_ready_; }

  Device device(const std::string& bus_id) const {
    const auto find = function<int (*)(const char*, Device*)>("nvmlDeviceGetHandleByPciBusId_v2");
    Device out = nullptr;
    return find != nullptr && find(bus_id.c_str(), &out) == 0 ? out : nullptr;
  }

  /// A value that the function of this name gives for the device; nothing where it does not.
  template <typename Value, typename... Choice>
  std::optional<Value> get(const char* name, Device device, Choice... choice) const {
    const auto call = function<int (*)(Device, Choice..., Value*)>(name);
    Value value = 0;
    if (call == nullptr || call(device, choice..., &value) != 0) return std::nullopt;
    return value;
  }

 private:
  template <typename Function>
  Function function(const char* name) const {
    return reinterpret_cast<Function>(::dlsym(handle_, name));
  }

  void* handle_;
  bool is_ready_ = false;
};

std::optional<double> watts(const std::optional<unsigned>& milliwatts) {
  if (!milliwatts) return std::nullopt;
  return *milliwatts / 1000.0;
}

std::vector<std::string> throttled_by(const Nvml& nvml, Device device) {
  std::vector<std::string> out;
  const auto bits =
      nvml.get<unsigned long long>("nvmlDeviceGetCurrentClocksThrottleReasons", device);
  for (const Cause& cause : kCauses) {
    if ((bits.value_or(0) & cause.bit) != 0) out.emplace_back(cause.name);
  }
  return out;
}

}  // namespace

std::string pci_bus_id(int index) {
  // The driver counts devices as CUDA's runtime does, after CUDA_VISIBLE_DEVICES.
  void* driver = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (driver == nullptr) return {};
  const auto init = reinterpret_cast<int (*)(unsigned)>(::dlsym(driver, "cuInit"));
  const auto get = reinterpret_cast<int (*)(int*, int)>(::dlsym(driver, "cuDeviceGet"));
  const auto name =
      reinterpret_cast<int (*)(char*, int, int)>(::dlsym(driver, "cuDeviceGetPCIBusId"));
  std::array<char, 64> text{};
  int device = 0;
  const bool found = init != nullptr && get != nullptr && name != nullptr && init(0) == 0 &&
                     get(&device, index) == 0 &&
                     name(text.data(), static_cast<int>(text.size()) - 1, device) == 0;
  return found ? std::string(text.data()) : std::string();
}

std::optional<GpuState> read_gpu_state(const std::string& pci_bus_id, const std::string& library) {
  if (pci_bus_id.empty()) return std::nullopt;
  const Nvml nvml(library);
  const Device device = nvml.is_ready() ? nvml.device(pci_bus_id) : nullptr;
  if (device == nullptr) {
    log_verbose("clocks and temperature of the GPU are not readable: no NVML for " + pci_bus_id);
    return std::nullopt;
  }
  return GpuState{
      .sm_clock_mhz = nvml.get<unsigned>("nvmlDeviceGetClockInfo", device, kSmClock),
      .sm_clock_max_mhz = nvml.get<unsigned>("nvmlDeviceGetMaxClockInfo", device, kSmClock),
      .memory_clock_mhz = nvml.get<unsigned>("nvmlDeviceGetClockInfo", device, kMemoryClock),
      .memory_clock_max_mhz = nvml.get<unsigned>("nvmlDeviceGetMaxClockInfo", device, kMemoryClock),
      .temperature_c = nvml.get<unsigned>("nvmlDeviceGetTemperature", device, kGpuSensor),
      .power_w = watts(nvml.get<unsigned>("nvmlDeviceGetPowerUsage", device)),
      .power_limit_w = watts(nvml.get<unsigned>("nvmlDeviceGetEnforcedPowerLimit", device)),
      .throttled_by = throttled_by(nvml, device)};
}

}  // namespace ditq
