#include "convert/synth.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <functional>
#include <map>
#include <string_view>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/float.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/regex.h"
#include "convert/atomic_output.h"
#include "convert/paths.h"
#include "convert/random_tensor.h"
#include "convert/side_files.h"
#include "family/check_tensors.h"
#include "family/flux1.h"
#include "family/registry.h"
#include "format/safetensors.h"
#include "quant/nvfp4.h"

namespace ditq {
namespace {

/// Elements that threads make between two writes: a multiple of every block size, 64 MiB of bf16.
constexpr std::uint64_t kPiece = std::uint64_t{32} << 20;
/// Bytes of a shard; diffusers' own limit is 10 GB.
constexpr std::uint64_t kShard = 9'900'000'000;
/// A calibrated scale of activations: the inputs of FLUX.1's linears reach some tens.
constexpr float kActivationAmax = 24.0F;

/// Writes elements [begin, end) of a tensor into `out`, its bytes from the first of them on.
using Fill = std::function<void(std::uint64_t begin, std::uint64_t end, std::byte* out)>;

/// A tensor to be made. `elements` counts what `fill` counts: values, or bytes of packed codes.
struct MadeTensor {
  TensorToWrite target;
  std::uint64_t elements;
  Fill fill;
};

struct Plan {
  std::vector<MadeTensor> tensors;
  SynthStatistics statistics;
  Json config;
};

std::uint64_t element_count(const Shape& shape) {
  std::uint64_t count = 1;
  for (const std::int64_t extent : shape) count *= static_cast<std::uint64_t>(extent);
  return count;
}

std::uint16_t* halves(std::byte* bytes) {
  return reinterpret_cast<std::uint16_t*>(bytes);
}
std::uint8_t* codes(std::byte* bytes) {
  return reinterpret_cast<std::uint8_t*>(bytes);
}

MadeTensor bf16_tensor(const SynthRequest& request,
                       const std::string& name,
                       const Shape& shape,
                       float mean,
                       float deviation) {
  const std::uint64_t count = element_count(shape);
  return {.target = {name, Dtype::bf16, shape, count * 2},
          .elements = count,
          .fill = [random = RandomTensor(request.seed, name), mean, deviation](
                      std::uint64_t begin, std::uint64_t end, std::byte* out) {
            normal_bf16(random, begin, mean, deviation, {halves(out), end - begin});
          }};
}

MadeTensor value_tensor(const std::string& name, float value) {
  return {.target = {name, Dtype::f32, {}, sizeof(float)},
          .elements = 1,
          .fill = [value](std::uint64_t, std::uint64_t, std::byte* out) {
            std::copy_n(reinterpret_cast<const std::byte*>(&value), sizeof(value), out);
          }};
}

/// Outputs about as large as inputs: weights of deviation 1 / sqrt(K), up to a quarter more or less by the layer's name, so
/// that no two layers share a scale.
float deviation_of(const std::string& module, const Shape& weight) {
  std::uint16_t rank = 0;
  RandomTensor(0, module).ranks(0, {&rank, 1});
  const float factor = 0.75F + static_cast<float>(rank) / 131072.0F;
  return factor / std::sqrt(static_cast<float>(weight.back()));
}

void add_fp8(const SynthRequest& request,
             const std::string& module,
             const Shape& shape,
             Plan& plan) {
  const std::string name = module + ".weight";
  const std::uint64_t count = element_count(shape);
  plan.tensors.push_back({.target = {name, Dtype::f8_e4m3, shape, count},
                          .elements = count,
                          .fill = [random = RandomTensor(request.seed, name)](
                                      std::uint64_t begin, std::uint64_t end, std::byte* out) {
                            normal_e4m3(random, begin, {codes(out), end - begin});
                          }});
  const float amax = deviation_of(module, shape) * largest_quantile();
  plan.tensors.push_back(value_tensor(module + ".weight_scale", amax / 448.0F));
  plan.tensors.push_back(value_tensor(module + ".input_scale", kActivationAmax / 448.0F));
}

/// Both halves of an NVFP4 weight, from values that both make anew.
void quantize_piece(const RandomTensor& random,
                    float deviation,
                    std::uint64_t begin,
                    std::uint64_t end,
                    std::span<std::uint8_t> packed,
                    std::span<std::uint8_t> scales) {
  std::vector<std::uint16_t> values(end - begin);
  normal_bf16(random, begin, 0, deviation, values);
  quantize_nvfp4(Dtype::bf16, std::as_bytes(std::span(values)),
                 nvfp4_global_scale(deviation * largest_quantile()), packed, scales);
}

/// The module whose scale a projection shares: ModelOpt gives those to queries, keys and values one (its export's
/// preprocess_linear_fusion), so that they can be one product.
std::string scale_group(const std::string& module) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kShared = {
      {{".to_k", ".to_q"},
       {".to_v", ".to_q"},
       {".add_k_proj", ".add_q_proj"},
       {".add_v_proj", ".add_q_proj"}}};
  for (const auto& [ending, first] : kShared) {
    if (module.ends_with(ending)) {
      return module.substr(0, module.size() - ending.size()).append(first);
    }
  }
  return module;
}

void add_nvfp4(const SynthRequest& request,
               const std::string& module,
               const Shape& shape,
               Plan& plan) {
  const std::string name = module + ".weight";
  const std::uint64_t count = element_count(shape);
  const float deviation = deviation_of(scale_group(module), shape);
  const RandomTensor random(request.seed, name);
  const Shape packed{shape[0], shape[1] / 2};
  const Shape blocks{shape[0], shape[1] / static_cast<std::int64_t>(kNvfp4Block)};
  plan.tensors.push_back(
      {.target = {name, Dtype::u8, packed, count / 2},
       .elements = count / 2,
       .fill = [=](std::uint64_t begin, std::uint64_t end, std::byte* out) {
         std::vector<std::uint8_t> scales((end - begin) * 2 / kNvfp4Block);
         quantize_piece(random, deviation, begin * 2, end * 2, {codes(out), end - begin}, scales);
       }});
  plan.tensors.push_back(
      {.target = {module + ".weight_scale", Dtype::f8_e4m3, blocks, count / kNvfp4Block},
       .elements = count / kNvfp4Block,
       .fill = [=](std::uint64_t begin, std::uint64_t end, std::byte* out) {
         std::vector<std::uint8_t> elements((end - begin) * kNvfp4Block / 2);
         quantize_piece(random, deviation, begin * kNvfp4Block, end * kNvfp4Block, elements,
                        {codes(out), end - begin});
       }});
  const float amax = deviation * largest_quantile();
  plan.tensors.push_back(value_tensor(module + ".weight_scale_2", nvfp4_global_scale(amax)));
  plan.tensors.push_back(
      value_tensor(module + ".input_scale", nvfp4_global_scale(kActivationAmax)));
}

Json quantization_config(const SynthRequest& request, const std::vector<std::string>& ignore) {
  const bool fp8 = request.scheme == "fp8";
  return {{"quant_method", "modelopt"},
          {"quant_algo", fp8 ? "FP8" : "NVFP4"},
          {"quant_type", fp8 ? "FP8" : "NVFP4"},
          {"ignore", ignore}};
}

/// Which modules stay in BF16 although the scheme could take them.
std::vector<Regex> fallbacks(const FamilySpec& family, const SynthRequest& request) {
  std::vector<Regex> out;
  if (request.fallback_set == "documented") {
    for (const std::string& pattern : family.fp8_fallback_documented) out.emplace_back(pattern);
  }
  return out;
}

bool is_quantized(const FamilySpec& family,
                  const std::vector<Regex>& kept,
                  const std::string& module,
                  const Shape& shape) {
  const auto use = layer_use(family, module);
  if (!use || *use == LayerUse::keep || shape.size() != 2) return false;
  return std::none_of(kept.begin(), kept.end(),
                      [&](const Regex& pattern) { return pattern.search(module); });
}

Plan make_plan(const SynthRequest& request) {
  const FamilySpec& family = flux1_family();
  const Flux1Dims dims = *published_flux1_dims(request.variant);
  const std::vector<Regex> kept = fallbacks(family, request);
  Plan plan{.tensors = {}, .statistics = {}, .config = flux1_config(dims)};
  std::vector<std::string> ignore;
  for (const auto& [name, facts] : expected_tensors(family, dim_values(dims))) {
    plan.statistics.parameters += element_count(facts.shape);
    const std::size_t dot = name.rfind('.');
    const std::string module = name.substr(0, dot);
    const bool weight = name.substr(dot) == ".weight";
    if (weight && request.scheme != "bf16" && is_quantized(family, kept, module, facts.shape)) {
      ++plan.statistics.quantized_layers;
      (request.scheme == "fp8" ? add_fp8 : add_nvfp4)(request, module, facts.shape, plan);
      continue;
    }
    const bool norm = weight && facts.shape.size() == 1;
    const float deviation = weight && !norm ? deviation_of(module, facts.shape) : 0.02F;
    if (weight && !norm) ignore.push_back(module);
    plan.tensors.push_back(bf16_tensor(request, name, facts.shape, norm ? 1.0F : 0.0F, deviation));
  }
  if (request.scheme != "bf16") {
    plan.config["quantization_config"] = quantization_config(request, ignore);
  }
  return plan;
}

/// Calls fill for [begin, end) on all cores, each a share that is a multiple of 64 elements.
void fill_parallel(const MadeTensor& tensor,
                   std::uint64_t begin,
                   std::uint64_t end,
                   std::byte* out) {
  const std::uint64_t width = tensor.target.size / tensor.elements;
  const std::uint64_t cores = std::max(1U, std::thread::hardware_concurrency());
  const std::uint64_t share = ((end - begin) / cores / 64 + 1) * 64;
  std::vector<std::thread> threads;
  for (std::uint64_t first = begin; first < end; first += share) {
    const std::uint64_t last = std::min(first + share, end);
    threads.emplace_back([&tensor, first, last, to = out + (first - begin) * width] {
      tensor.fill(first, last, to);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

using Shard = std::vector<const MadeTensor*>;

std::vector<Shard> cut_shards(const Plan& plan) {
  std::vector<Shard> shards(1);
  std::uint64_t bytes = 0;
  for (const MadeTensor& tensor : plan.tensors) {
    if (bytes != 0 && bytes + tensor.target.size > kShard) {
      shards.emplace_back();
      bytes = 0;
    }
    shards.back().push_back(&tensor);
    bytes += tensor.target.size;
  }
  return shards;
}

void write_shard(const Shard& shard, const std::string& path, ProgressBar& progress) {
  std::map<std::string, const MadeTensor*> by_name;
  std::vector<TensorToWrite> targets;
  for (const MadeTensor* tensor : shard) {
    targets.push_back(tensor->target);
    by_name.emplace(tensor->target.name, tensor);
  }
  SafetensorsWriter writer(path, std::move(targets), {{"format", "pt"}});
  std::vector<std::byte> buffer;
  for (const TensorToWrite& next : writer.order()) {
    const MadeTensor& tensor = *by_name.at(next.name);
    const std::uint64_t width = tensor.target.size / tensor.elements;
    for (std::uint64_t begin = 0; begin < tensor.elements; begin += kPiece) {
      check_interrupt();
      const std::uint64_t end = std::min(begin + kPiece, tensor.elements);
      buffer.resize((end - begin) * width);
      fill_parallel(tensor, begin, end, buffer.data());
      writer.write(buffer);
      progress.advance(buffer.size());
    }
  }
  writer.close();
}

void write_documents(const Plan& plan,
                     const std::vector<Shard>& shards,
                     const std::vector<std::string>& names,
                     const std::string& folder) {
  Json map = Json::object();
  for (std::size_t i = 0; i < shards.size(); ++i) {
    for (const MadeTensor* tensor : shards[i]) map[tensor->target.name] = names[i];
  }
  const Json index = {{"metadata", {{"total_size", plan.statistics.bytes}}}, {"weight_map", map}};
  if (shards.size() > 1) {
    write_document(folder, "diffusion_pytorch_model.safetensors.index.json",
                   dump_json(index, {.indent = 2, .sort_keys = true}) + "\n");
  }
  write_document(folder, "config.json",
                 dump_json(plan.config, {.indent = 2, .sort_keys = true}) + "\n");
}

void check_request(const SynthRequest& request) {
  const auto one_of = [](const char* flag, const std::string& value,
                         const std::vector<std::string>& known) {
    if (std::find(known.begin(), known.end(), value) != known.end()) return;
    throw Error(ErrorCode::usage, fmt::format("unknown {}", flag),
                {.expected = fmt::format("{}", fmt::join(known, ", ")), .found = value});
  };
  one_of("--family and --variant", request.family + "/" + request.variant, synth_variants());
  one_of("--scheme", request.scheme, {"bf16", "fp8", "nvfp4"});
  one_of("--fallback-set", request.fallback_set, {"none", "documented"});
}

}  // namespace

std::vector<std::string> synth_variants() {
  return {"flux1/dev", "flux1/schnell", "flux1/tiny"};
}

SynthStatistics synth(const SynthRequest& request) {
  check_request(request);
  const std::string target = resolve_output_dir(request.output_dir);
  check_target(target, request.overwrite);
  Plan plan = make_plan(request);
  for (const MadeTensor& tensor : plan.tensors) plan.statistics.bytes += tensor.target.size;
  plan.statistics.tensors = plan.tensors.size();
  const std::vector<Shard> shards = cut_shards(plan);
  plan.statistics.shards = shards.size();
  check_free_space(target, plan.statistics.bytes);

  AtomicOutput output(target, request.overwrite);
  ProgressBar progress("making", plan.statistics.bytes, "B");
  std::vector<std::string> names;
  for (std::size_t i = 0; i < shards.size(); ++i) {
    names.push_back(shards.size() == 1
                        ? "diffusion_pytorch_model.safetensors"
                        : fmt::format("diffusion_pytorch_model-{:05}-of-{:05}.safetensors", i + 1,
                                      shards.size()));
    write_shard(shards[i], (std::filesystem::path(output.folder()) / names.back()).string(),
                progress);
  }
  progress.finish();
  write_documents(plan, shards, names, output.folder());
  check_interrupt();
  output.commit();
  return plan.statistics;
}

std::string to_json_text(const SynthStatistics& statistics) {
  const Json json = {{"bytes", statistics.bytes},
                     {"parameters", statistics.parameters},
                     {"quantized_layers", statistics.quantized_layers},
                     {"shards", statistics.shards},
                     {"tensors", statistics.tensors}};
  return dump_json(json, {.indent = 2, .sort_keys = true});
}

}  // namespace ditq
