// Source: NVIDIA ModelOpt 0.47, modelopt/torch/quantization/model_calib.py
// (apply_pre_quant_scale_and_smooth, svdquant).

#include "pipeline/svdquant.h"

#include <algorithm>

#include "base/interrupt.h"
#include "base/progress.h"
#include "ops/low_rank.h"
#include "ops/smoothing.h"
#include "pipeline/calibration_passes.h"
#include "tensor/create.h"

namespace ditq {
namespace {

/// What an SVDQuant layer has beside its weight, in the order of their names.
struct Companion {
  const char* name;
  Tensor SvdquantLayer::*tensor;
};
constexpr Companion kCompanions[] = {{"pre_quant_scale", &SvdquantLayer::pre_quant_scale},
                                     {"svdquant_lora_a", &SvdquantLayer::a},
                                     {"svdquant_lora_b", &SvdquantLayer::b},
                                     {"weight", &SvdquantLayer::residual}};

/// A tensor's name taken apart: the module, and the parameter behind the last dot.
std::pair<std::string, std::string> split_name(const std::string& name) {
  const std::size_t dot = name.rfind('.');
  if (dot == std::string::npos) return {"", name};
  return {name.substr(0, dot), name.substr(dot + 1)};
}

/// Makes the layers one after the other, in the order in which their tensors are written.
class Splitter {
 public:
  Splitter(const Weights& weights, const Statistics& statistics, const SplitRequest& request)
      : weights_(weights), statistics_(statistics), request_(request) {}

  /// All tensors of the file.
  std::vector<TensorToWrite> plan() const {
    std::vector<TensorToWrite> out;
    for (const auto& [name, tensor] : weights_.tensors().tensors()) {
      const auto [module, parameter] = split_name(name);
      if (parameter == "weight" && request_.modules.contains(module)) {
        plan_layer(module, tensor.shape, out);
      } else {
        out.push_back({name, tensor.dtype, tensor.shape});
      }
    }
    return out;
  }

  /// A tensor's contiguous value on the CPU.
  Tensor value(const std::string& name) {
    const auto [module, parameter] = split_name(name);
    if (request_.modules.contains(module)) {
      for (const Companion& companion : kCompanions) {
        if (parameter == companion.name) return layer(module).*companion.tensor;
      }
    }
    return weights_.raw(name);
  }

 private:
  void plan_layer(const std::string& module,
                  const Shape& shape,
                  std::vector<TensorToWrite>& out) const {
    const Dtype dtype = dtype_of(weights_.dtype());
    out.push_back({module + ".pre_quant_scale", dtype, {shape[1]}});
    out.push_back({module + ".svdquant_lora_a", dtype, {request_.rank, shape[1]}});
    out.push_back({module + ".svdquant_lora_b", dtype, {shape[0], request_.rank}});
    out.push_back({module + ".weight", dtype, shape});
  }

  const SvdquantLayer& layer(const std::string& module) {
    if (module == module_) return layer_;
    check_interrupt();
    const Weights w = weights_ / module;
    const Tensor weight = w.plain("weight", w.info("weight").shape).cpu();
    layer_ = split_layer(weight, smoothing_scale(statistics_, module, weight, request_.block),
                         request_.rank);
    module_ = module;
    return layer_;
  }

  const Weights& weights_;
  const Statistics& statistics_;
  const SplitRequest& request_;
  std::string module_;
  SvdquantLayer layer_;
};

}  // namespace

float best_alpha(const Tensor& losses) {
  const float* first = losses.const_data_ptr<float>();
  const auto best = std::min_element(first, first + losses.numel()) - first;
  return smoothing_alphas().at(static_cast<std::size_t>(best));
}

Tensor smoothing_scale(const Statistics& statistics,
                       const std::string& module,
                       const Tensor& weight,
                       std::int64_t block) {
  const auto losses = statistics.find(losses_key(module));
  if (losses == statistics.end()) return filled({weight.size(1)}, 1, at::kFloat);
  return balancing_scale(mean_activations(statistics, module), block_relative_mean(weight, block),
                         best_alpha(losses->second))
      .reciprocal();
}

SvdquantLayer split_layer(const Tensor& weight, const Tensor& pre_quant_scale, std::int64_t rank) {
  const Tensor smoothed = weight.mul(pre_quant_scale.reciprocal()).to(weight.scalar_type());
  const LowRank factors = low_rank(smoothed, rank);
  return {.residual = smoothed.sub(product(factors)).contiguous(),
          .pre_quant_scale = pre_quant_scale.to(weight.scalar_type()),
          .a = factors.a.contiguous(),
          .b = factors.b.contiguous()};
}

void write_split_weights(const std::string& path,
                         const Weights& weights,
                         const Statistics& statistics,
                         const SplitRequest& request) {
  Splitter splitter(weights, statistics, request);
  replace_file(path, [&](const std::string& temporary) {
    SafetensorsWriter writer(temporary, splitter.plan(),
                             {{kCalibrationMetadata, dump_json(request.about)}});
    ProgressBar bar("low-rank branches", writer.order().size(), "tensor");
    for (const TensorToWrite& tensor : writer.order()) {
      const Tensor value = splitter.value(tensor.name);
      writer.write(bytes_of(value));
      bar.advance();
    }
    writer.close();
    bar.finish();
  });
}

}  // namespace ditq
