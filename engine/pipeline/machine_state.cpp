#include "pipeline/machine_state.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numeric>
#include <optional>
#include <sstream>
#include <vector>

#include <ATen/Parallel.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "kernels/gpu_state.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

/// The first number of a file.
std::optional<double> number_in(const fs::path& path) {
  std::ifstream file(path);
  double value = 0;
  if (!(file >> value)) return std::nullopt;
  return value;
}

/// The numbers of FOLDER/<name><digits>/FILE for all such names.
std::vector<double> numbers_in(const fs::path& folder,
                               const std::string& name,
                               const std::string& file) {
  std::vector<double> out;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string found = entry->path().filename().string();
    const bool matches = found.starts_with(name) && found.size() > name.size() &&
                         found.find_first_not_of("0123456789", name.size()) == std::string::npos;
    if (!matches) continue;
    if (const auto value = number_in(entry->path() / file)) out.push_back(*value);
  }
  return out;
}

Json largest(const std::vector<double>& values, double unit) {
  if (values.empty()) return nullptr;
  return *std::max_element(values.begin(), values.end()) / unit;
}

template <typename Value>
Json or_null(const std::optional<Value>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json frequency(const std::vector<double>& kilohertz) {
  if (kilohertz.empty()) return nullptr;
  const auto [least, most] = std::minmax_element(kilohertz.begin(), kilohertz.end());
  const double sum = std::accumulate(kilohertz.begin(), kilohertz.end(), 0.0);
  return {{"min", *least / 1000},
          {"mean", sum / static_cast<double>(kilohertz.size()) / 1000},
          {"max", *most / 1000}};
}

Json to_json(const GpuState& state) {
  return {{"sm_clock_mhz", or_null(state.sm_clock_mhz)},
          {"sm_clock_max_mhz", or_null(state.sm_clock_max_mhz)},
          {"memory_clock_mhz", or_null(state.memory_clock_mhz)},
          {"memory_clock_max_mhz", or_null(state.memory_clock_max_mhz)},
          {"temperature_c", or_null(state.temperature_c)},
          {"power_w", or_null(state.power_w)},
          {"power_limit_w", or_null(state.power_limit_w)},
          {"throttled_by", state.throttled_by}};
}

/// Time since the machine started, summed over its processors; null where /proc does not tell.
/// Source: proc(5), /proc/stat and /proc/self/stat.
Json processor_seconds(const fs::path& root) {
  std::ifstream all(root / "proc/stat");
  std::string label;
  std::array<double, 8> ticks{};  // user, nice, system, idle, iowait, irq, softirq, steal
  all >> label;
  for (double& one : ticks) all >> one;
  std::ifstream self(root / "proc/self/stat");
  std::string own((std::istreambuf_iterator<char>(self)), std::istreambuf_iterator<char>());
  own.erase(0, own.rfind(')') + 1);  // the program's name may hold anything
  std::istringstream fields(own);
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  double user = 0;
  double system = 0;
  fields >> user >> system;
  if (!all || label != "cpu" || !fields) return nullptr;
  const double second = static_cast<double>(::sysconf(_SC_CLK_TCK));
  const double total = std::accumulate(ticks.begin(), ticks.end(), 0.0);
  return {{"total", total / second},
          {"busy", (total - ticks[3] - ticks[4]) / second},
          {"own", (user + system) / second}};
}

/// "cuda:1 (NVIDIA H200)" is 1; nothing for a CPU.
std::optional<int> cuda_index(const std::string& device) {
  constexpr std::size_t kPrefix = 5;
  if (!device.starts_with("cuda:")) return std::nullopt;
  return std::atoi(device.c_str() + kPrefix);
}

}  // namespace

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return {};
}

Json cpu_state(const std::string& root) {
  const fs::path system = fs::path(root) / "sys";
  const fs::path processors = system / "devices/system/cpu";
  const auto throttled = numbers_in(processors, "cpu", "thermal_throttle/package_throttle_count");
  constexpr double kMilli = 1000;
  return {{"frequency_mhz", frequency(numbers_in(processors, "cpu", "cpufreq/scaling_cur_freq"))},
          {"frequency_max_mhz",
           largest(numbers_in(processors, "cpu", "cpufreq/cpuinfo_max_freq"), kMilli)},
          {"temperature_c",
           largest(numbers_in(system / "class/thermal", "thermal_zone", "temp"), kMilli)},
          {"throttle_events", largest(throttled, 1)},
          {"processor_seconds", processor_seconds(root)}};
}

Json device_state(const std::string& device) {
  Json out = {{"cpu", cpu_state()}, {"gpu", nullptr}};
  if (const auto index = cuda_index(device)) {
    if (const auto state = read_gpu_state(pci_bus_id(*index))) out["gpu"] = to_json(*state);
  }
  return out;
}

Json machine_document(const std::string& device) {
  utsname system{};
  const bool known = ::uname(&system) == 0;
  return {
      {"cpu", cpu_model()},
      {"threads", at::get_num_threads()},
      {"gpu", cuda_index(device) ? Json(device) : Json(nullptr)},
      {"kernel", known ? Json(std::string(system.sysname) + " " + system.release) : Json(nullptr)}};
}

}  // namespace ditq
