#include "convert/synth_transformer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <string_view>
#include <utility>

#include "base/float.h"
#include "base/regex.h"
#include "convert/random_tensor.h"
#include "family/check_tensors.h"
#include "family/flux1.h"
#include "family/registry.h"
#include "quant/nvfp4.h"

namespace ditq {
namespace {

/// A calibrated scale of activations: the inputs of FLUX.1's linears reach some tens.
constexpr float kActivationAmax = 24.0F;

std::uint8_t* code_bytes(std::byte* bytes) {
  return reinterpret_cast<std::uint8_t*>(bytes);
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
             MadeTransformer& made) {
  const std::string name = module + ".weight";
  const std::uint64_t count = element_count(shape);
  made.tensors.push_back({.target = {name, Dtype::f8_e4m3, shape, count},
                          .elements = count,
                          .fill = [random = RandomTensor(request.seed, name)](
                                      std::uint64_t begin, std::uint64_t end, std::byte* out) {
                            normal_e4m3(random, begin, {code_bytes(out), end - begin});
                          }});
  const float amax = deviation_of(module, shape) * largest_quantile();
  made.tensors.push_back(value_tensor(module + ".weight_scale", amax / 448.0F));
  made.tensors.push_back(value_tensor(module + ".input_scale", kActivationAmax / 448.0F));
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
               MadeTransformer& made) {
  const std::string name = module + ".weight";
  const std::uint64_t count = element_count(shape);
  const float deviation = deviation_of(scale_group(module), shape);
  const RandomTensor random(request.seed, name);
  const Shape packed{shape[0], shape[1] / 2};
  const Shape blocks{shape[0], shape[1] / static_cast<std::int64_t>(kNvfp4Block)};
  made.tensors.push_back({.target = {name, Dtype::u8, packed, count / 2},
                          .elements = count / 2,
                          .fill = [=](std::uint64_t begin, std::uint64_t end, std::byte* out) {
                            std::vector<std::uint8_t> scales((end - begin) * 2 / kNvfp4Block);
                            quantize_piece(random, deviation, begin * 2, end * 2,
                                           {code_bytes(out), end - begin}, scales);
                          }});
  made.tensors.push_back(
      {.target = {module + ".weight_scale", Dtype::f8_e4m3, blocks, count / kNvfp4Block},
       .elements = count / kNvfp4Block,
       .fill = [=](std::uint64_t begin, std::uint64_t end, std::byte* out) {
         std::vector<std::uint8_t> elements((end - begin) * kNvfp4Block / 2);
         quantize_piece(random, deviation, begin * kNvfp4Block, end * kNvfp4Block, elements,
                        {code_bytes(out), end - begin});
       }});
  const float amax = deviation * largest_quantile();
  made.tensors.push_back(value_tensor(module + ".weight_scale_2", nvfp4_global_scale(amax)));
  made.tensors.push_back(
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

}  // namespace

MadeTransformer make_transformer(const SynthRequest& request) {
  const FamilySpec& family = flux1_family();
  const Flux1Dims dims = *published_flux1_dims(request.variant);
  const std::vector<Regex> kept = fallbacks(family, request);
  MadeTransformer made{.tensors = {}, .config = flux1_config(dims)};
  std::vector<std::string> ignore;
  for (const auto& [name, facts] : expected_tensors(family, dim_values(dims))) {
    made.parameters += element_count(facts.shape);
    const std::size_t dot = name.rfind('.');
    const std::string module = name.substr(0, dot);
    const bool weight = name.substr(dot) == ".weight";
    if (weight && request.scheme != "bf16" && is_quantized(family, kept, module, facts.shape)) {
      ++made.quantized_layers;
      (request.scheme == "fp8" ? add_fp8 : add_nvfp4)(request, module, facts.shape, made);
      continue;
    }
    const bool norm = weight && facts.shape.size() == 1;
    const float deviation = weight && !norm ? deviation_of(module, facts.shape) : 0.02F;
    if (weight && !norm) ignore.push_back(module);
    made.tensors.push_back(
        bf16_tensor(request.seed, name, facts.shape, norm ? 1.0F : 0.0F, deviation));
  }
  if (request.scheme != "bf16") {
    made.config["quantization_config"] = quantization_config(request, ignore);
  }
  return made;
}

}  // namespace ditq
