#pragma once
// What a machine is, and what state it is in while it is measured. What cannot be read is null.

#include <string>

#include "base/json.h"

namespace ditq {

/// The processor's name, as /proc/cpuinfo has it; empty where it has none.
std::string cpu_model();

/// {"frequency_mhz": {"min", "mean", "max"}, "frequency_max_mhz", "temperature_c" (the hottest zone), "throttle_events"
/// (of all packages since the machine started), "processor_seconds": {"total", "busy", "own" (of this process)}}; members
/// are null where the system does not tell. `root` is where /proc and /sys are.
/// Source: Linux documentation, admin-guide/pm/cpufreq and driver-api/thermal/sysfs-api; proc(5).
Json cpu_state(const std::string& root = "/");

/// {"cpu", "gpu"} of a device (PipelineDescription::device); gpu is null for a CPU, and where NVML does not tell.
Json device_state(const std::string& device);

/// {"cpu", "threads", "gpu", "kernel"}: what the measurements belong to. `device` as above.
Json machine_document(const std::string& device);

}  // namespace ditq
