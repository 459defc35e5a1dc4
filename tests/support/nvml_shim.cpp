// Stands in for libnvidia-ml.so.1: one GPU at 0000:1B:00.0, with the entry points and numbers of nvml.h.

#include <cstring>

namespace {
constexpr int kSuccess = 0;
constexpr int kNotSupported = 3;
constexpr int kNotFound = 6;
int gpu = 0;
}  // namespace

extern "C" {
int nvmlInit_v2();
int nvmlShutdown();
int nvmlDeviceGetHandleByPciBusId_v2(const char* bus_id, void** device);
int nvmlDeviceGetClockInfo(void* device, int type, unsigned* clock);
int nvmlDeviceGetMaxClockInfo(void* device, int type, unsigned* clock);
int nvmlDeviceGetTemperature(void* device, int sensor, unsigned* temperature);
int nvmlDeviceGetPowerUsage(void* device, unsigned* milliwatts);
int nvmlDeviceGetCurrentClocksThrottleReasons(void* device, unsigned long long* reasons);

int nvmlInit_v2() {
  return kSuccess;
}
int nvmlShutdown() {
  return kSuccess;
}
int nvmlDeviceGetHandleByPciBusId_v2(const char* bus_id, void** device) {
  if (std::strcmp(bus_id, "0000:1B:00.0") != 0) return kNotFound;
  *device = &gpu;
  return kSuccess;
}
// Types: 0 graphics, 1 SM, 2 memory.
int nvmlDeviceGetClockInfo(void*, int type, unsigned* clock) {
  *clock = type == 1 ? 1755 : 2619;
  return kSuccess;
}
int nvmlDeviceGetMaxClockInfo(void*, int type, unsigned* clock) {
  if (type != 1) return kNotSupported;
  *clock = 1980;
  return kSuccess;
}
int nvmlDeviceGetTemperature(void*, int sensor, unsigned* temperature) {
  *temperature = 61;
  return sensor == 0 ? kSuccess : kNotSupported;
}
int nvmlDeviceGetPowerUsage(void*, unsigned* milliwatts) {
  *milliwatts = 650500;
  return kSuccess;
}
// Idle, clocks set by an application, power cap, thermal slowdown.
int nvmlDeviceGetCurrentClocksThrottleReasons(void*, unsigned long long* reasons) {
  *reasons = 0x1 | 0x2 | 0x4 | 0x40;
  return kSuccess;
}
}
