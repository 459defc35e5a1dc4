#include "doctor/machine.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/file.h"

namespace ditq {
namespace {

/// The value behind "key   : value" in a text of such lines; empty without.
std::string value_of(std::istream& text, const std::string& key) {
  for (std::string line; std::getline(text, line);) {
    if (!line.starts_with(key)) continue;
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? std::string() : line.substr(begin);
  }
  return {};
}

std::string proc_value(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  return value_of(file, key);
}

std::vector<std::string> product_units() {
  std::istringstream words(proc_value("/proc/cpuinfo", "flags"));
  const std::set<std::string> flags{std::istream_iterator<std::string>(words), {}};
  std::vector<std::string> units;
  for (const char* unit : {"amx_bf16", "avx512_bf16", "avx512f", "avx2"}) {
    if (flags.contains(unit)) units.emplace_back(unit);
  }
  return units;
}

std::vector<std::string> gpu_names() {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry :
       std::filesystem::directory_iterator("/proc/driver/nvidia/gpus", ignored)) {
    const std::string name = proc_value((entry.path() / "information").string(), "Model");
    if (!name.empty()) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::uint64_t available_memory() {
  std::istringstream text(proc_value("/proc/meminfo", "MemAvailable"));
  std::uint64_t kibibytes = 0;
  text >> kibibytes;
  return kibibytes * 1024;
}

std::string arithmetic(const std::string& scheme) {
  if (scheme == "fp8") {
    return "FP8: no CPU has FP8 units; E4M3 values are exact in BF16, so BF16 products with "
           "float32 "
           "sums give the same results";
  }
  if (scheme == "nvfp4") {
    return "NVFP4: no CPU has FP4 units; products of E2M1 and E4M3 values are exact in BF16, so "
           "BF16 products with float32 sums give the same results";
  }
  return "BF16 products with float32 sums";
}

}  // namespace

MachineReport look_at_machine(const std::string& scheme,
                              const std::string& title,
                              bool runs,
                              std::uint64_t bytes) {
  MachineReport report{.cpu = proc_value("/proc/cpuinfo", "model name"),
                       .units = product_units(),
                       .gpus = gpu_names(),
                       .memory = available_memory(),
                       .statements = {}};
  report.statements.push_back(arithmetic(scheme));
  report.statements.push_back(fmt::format(
      "CPU: {}{}", report.cpu.empty() ? "unknown" : report.cpu,
      report.units.empty() ? "" : fmt::format(" with {}", fmt::join(report.units, ", "))));
  if (!report.gpus.empty()) {
    report.statements.push_back(fmt::format("GPU: {}", fmt::join(report.gpus, ", ")));
  }
  if (report.memory > 0) {
    report.statements.push_back(fmt::format("the tensors take {}, {} of memory are available{}",
                                            human_bytes(bytes), human_bytes(report.memory),
                                            bytes > report.memory ? ": they do not fit" : ""));
  }
  if (!runs) {
    report.statements.push_back(fmt::format("'ditq generate' does not run {} yet",
                                            title.empty() ? std::string("this family") : title));
  }
  return report;
}

}  // namespace ditq
