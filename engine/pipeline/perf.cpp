#include "pipeline/perf.h"

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <random>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "base/log.h"
#include "kernels/cuda_device.h"
#include "pipeline/versions.h"

namespace ditq {
namespace {

double round_to(double value, double unit) {
  return std::round(value / unit) * unit;
}

std::string utc_now() {
  const auto now = std::chrono::system_clock::now();
  const auto micros =
      std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count() %
      1'000'000;
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:06}+00:00",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(now)), micros);
}

std::string random_id() {
  std::random_device device;
  const auto part = [&] { return static_cast<std::uint64_t>(device()) << 32 | device(); };
  const std::string digits = fmt::format("{:016x}{:016x}", part(), part());
  return fmt::format("{}-{}-{}-{}-{}", digits.substr(0, 8), digits.substr(8, 4),
                     digits.substr(12, 4), digits.substr(16, 4), digits.substr(20));
}

Json memory_checkpoint(const std::string& device) {
  const auto megabytes = [](std::size_t bytes) {
    return round_to(static_cast<double>(bytes) / (1 << 20), 0.01);
  };
  if (device != "cpu") {
    const CudaMemory memory = cuda().memory();
    return {{"allocated_mb", megabytes(memory.allocated)},
            {"reserved_mb", megabytes(memory.reserved)},
            {"peak_allocated_mb", megabytes(memory.peak_allocated)},
            {"peak_reserved_mb", megabytes(memory.peak_reserved)}};
  }
  const ProcessMemory memory = process_memory();
  // On a CPU nothing is reserved apart from what is resident.
  return {{"allocated_mb", round_to(memory.resident_mb, 0.01)},
          {"reserved_mb", round_to(memory.resident_mb, 0.01)},
          {"peak_allocated_mb", round_to(memory.peak_mb, 0.01)},
          {"peak_reserved_mb", round_to(memory.peak_mb, 0.01)}};
}

Json counted(const std::vector<LayerRecord>& layers, std::string LayerRecord::*field) {
  std::map<std::string, int> counts;
  for (const LayerRecord& layer : layers) ++counts[layer.*field];
  return Json(counts);
}

/// Layers by what their activations are quantized to.
Json quantized_activations(const std::vector<LayerRecord>& layers) {
  Json counts = counted(layers, &LayerRecord::activations);
  counts.erase("");
  return counts;
}

/// Bytes that the prepared weights of each scheme take.
Json weight_bytes(const std::vector<LayerRecord>& layers) {
  std::map<std::string, std::size_t> bytes;
  for (const LayerRecord& layer : layers) bytes[layer.scheme] += layer.memory;
  return Json(bytes);
}

}  // namespace

ProcessMemory process_memory() {
  ProcessMemory out;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) out.resident_mb = std::strtod(line.c_str() + 6, nullptr) / 1024;
    if (line.starts_with("VmHWM:")) out.peak_mb = std::strtod(line.c_str() + 6, nullptr) / 1024;
  }
  return out;
}

void begin_peak_memory(const std::string& device) {
  if (device != "cpu") return cuda().reset_peak_memory();
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;
  if (!file) log_verbose("this kernel keeps the process's highest peak of memory: peaks only grow");
}

double peak_memory_mb(const std::string& device) {
  return memory_checkpoint(device)["peak_reserved_mb"].get<double>();
}

Json side_document(const PipelineDescription& pipeline, const PipelineSources& sources) {
  const std::string& weights = sources.transformer_weights_path;
  return {{"scheme", pipeline.scheme},
          {"scheme_source", pipeline.scheme_source},
          {"layers", counted(pipeline.layers, &LayerRecord::scheme)},
          {"arithmetic", counted(pipeline.layers, &LayerRecord::arithmetic)},
          {"quantized_activations", quantized_activations(pipeline.layers)},
          {"weight_bytes", weight_bytes(pipeline.layers)},
          {"kernels", kernel_names(pipeline.device)},
          {"attention_backend", pipeline.attention.name()},
          {"fp4_backend", pipeline.fp4_backend ? to_json(*pipeline.fp4_backend) : Json(nullptr)},
          {"sources",
           {{"model_path", sources.model_path},
            {"component_paths", sources.components},
            {"transformer_weights_path", weights.empty() ? Json(nullptr) : Json(weights)}}}};
}

Json perf_document(const Generation& generation,
                   const PipelineDescription& pipeline,
                   RunSettings settings,
                   const std::string& model,
                   const std::vector<std::string>& command) {
  Json steps = Json::array();
  for (const auto& stage : generation.timings.stages) {
    steps.push_back({{"name", stage.name}, {"duration_ms", stage.milliseconds}});
  }
  Json denoise = Json::array();
  for (std::size_t i = 0; i < generation.timings.denoise_steps.size(); ++i) {
    denoise.push_back({{"step", i}, {"duration_ms", generation.timings.denoise_steps[i]}});
  }
  settings.picture.prompt = generation.prompt;
  settings.picture.seed = generation.seed;
  const char* commit = std::getenv("SGLANG_GIT_COMMIT");
  return {{"timestamp", utc_now()},
          {"request_id", random_id()},
          {"commit_hash", commit == nullptr ? "N/A" : commit},
          {"tag", "cli_generate"},
          {"total_duration_ms", generation.timings.total},
          {"steps", steps},
          {"denoise_steps_ms", denoise},
          {"memory_checkpoints", {{"after_forward", memory_checkpoint(pipeline.device)}}},
          {"meta",
           {{"prompt", generation.prompt},
            {"model", model},
            {"scheme", pipeline.scheme},
            {"scheme_source", pipeline.scheme_source},
            {"layers", counted(pipeline.layers, &LayerRecord::scheme)},
            {"arithmetic", counted(pipeline.layers, &LayerRecord::arithmetic)},
            {"quantized_activations", quantized_activations(pipeline.layers)},
            {"weight_bytes", weight_bytes(pipeline.layers)},
            {"dtype", pipeline.dtype},
            {"kernels", kernel_names(pipeline.device)},
            {"attention_backend", pipeline.attention.name()},
            {"fp8_attention",
             fp8_attention_json(pipeline.attention, generation.timings.denoise_steps.size())},
            {"fp4_backend", pipeline.fp4_backend ? to_json(*pipeline.fp4_backend) : Json(nullptr)},
            {"device", pipeline.device},
            {"seed", generation.seed},
            {"width", generation.picture.width},
            {"height", generation.picture.height},
            {"settings", settings_document(settings, pipeline)},
            {"versions", version_document()},
            {"command", command}}}};
}

}  // namespace ditq
