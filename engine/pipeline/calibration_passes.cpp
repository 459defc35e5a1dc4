// Source: NVIDIA ModelOpt 0.47, modelopt/torch/quantization/model_calib.py (max_calibrate,
// awq_lite): order and rounding.

#include "pipeline/calibration_passes.h"

#include "base/error.h"
#include "nn/linear_kernel.h"
#include "ops/abs_max.h"
#include "ops/fake_quantize.h"
#include "ops/smoothing.h"
#include "tensor/create.h"

namespace ditq {

const std::vector<float>& smoothing_alphas() {
  static const std::vector<float> alphas = [] {
    std::vector<float> out;
    for (int i = 0; i <= 10; ++i) out.push_back(static_cast<float>(i * 0.1));
    return out;
  }();
  return alphas;
}

std::string activation_sum_key(const std::string& module) {
  return module + ".activation_sum";
}
std::string activation_calls_key(const std::string& module) {
  return module + ".activation_calls";
}
std::string losses_key(const std::string& module) {
  return module + ".losses";
}

void CalibrationPass::norm(const std::string& module, const Tensor& x) {
  const Tensor amax = abs_max(x);
  watch(module, amax);
  keep_largest(input_amax_key(module), amax);
}

void CalibrationPass::attention(const std::string& name, const Tensor& x) {
  const Tensor amax = abs_max(x);
  watch(name, amax);
  keep_largest(amax_key(name), amax);
}

void CalibrationPass::check() {
  if (watched_.empty()) return;
  std::vector<Tensor> values;
  for (const auto& [name, value] : watched_) values.push_back(value.to(at::kFloat));
  const Tensor finite = stacked(values, 0).isfinite().cpu();
  for (std::size_t i = 0; i < watched_.size(); ++i) {
    if (finite.const_data_ptr<bool>()[i]) continue;
    throw Error(ErrorCode::not_a_number, "a layer was given NaN or infinite values",
                {.tensor = watched_[i].first,
                 .advice = "The checkpoint is damaged, or the model does not run in this dtype"});
  }
  watched_.clear();
}

void CalibrationPass::fetch() {
  last_input_.reset();
  for (auto& [key, value] : statistics_) value = value.cpu();
}

void CalibrationPass::keep_largest(const std::string& key, const Tensor& value) {
  Tensor& kept = statistics_[key];
  kept = kept.defined() ? kept.to(value.device()).maximum(value) : value;
}

void CalibrationPass::keep_sum(const std::string& key, const Tensor& value) {
  Tensor& kept = statistics_[key];
  kept = kept.defined() ? kept.to(value.device()).add(value) : value;
}

void CalibrationPass::watch(const std::string& what, const Tensor& value) {
  watched_.emplace_back(what, value);
}

const Tensor& CalibrationPass::measured_once(const Tensor& x,
                                             const std::function<Tensor(const Tensor&)>& measure) {
  if (!last_input_.defined() || !last_input_.is_same(x)) {
    last_value_ = measure(x);
    last_input_ = x;
  }
  return last_value_;
}

MaxPass::MaxPass(Statistics& statistics, std::map<std::string, Tensor> pre_quant_scales)
    : CalibrationPass(statistics), pre_quant_scales_(std::move(pre_quant_scales)) {}

void MaxPass::linear(const std::string& module, const Tensor& x) {
  const auto scale = pre_quant_scales_.find(module);
  const Tensor amax =
      scale == pre_quant_scales_.end() ? measured_once(x, abs_max) : abs_max(x.mul(scale->second));
  watch(module, amax);
  keep_largest(input_amax_key(module), amax);
}

ActivationPass::ActivationPass(Statistics& statistics, std::set<std::string> modules)
    : CalibrationPass(statistics), modules_(std::move(modules)) {}

void ActivationPass::linear(const std::string& module, const Tensor& x) {
  if (!modules_.contains(module)) return;
  const Tensor& means = measured_once(x, channel_mean);
  watch(module, means.sum());
  keep_sum(activation_sum_key(module), means);
  keep_sum(activation_calls_key(module), from_values(std::vector<std::int64_t>{1}));
}

SearchPass::SearchPass(Statistics& statistics,
                       const Weights& weights,
                       std::set<std::string> modules,
                       std::int64_t block)
    : CalibrationPass(statistics), weights_(weights), modules_(std::move(modules)), block_(block) {}

SearchPass::Layer SearchPass::layer(const std::string& module) {
  const Weights w = weights_ / module;
  const Shape& shape = w.info("weight").shape;
  Layer out{.weight = w.plain("weight", shape).contiguous(),
            .bias = w.optional("bias", {shape.front()}),
            .activations = {},
            .weight_means = {}};
  Tensor& means = weight_means_[module];
  if (!means.defined()) means = block_relative_mean(out.weight, block_);
  out.weight_means = means;
  out.activations = mean_activations(statistics(), module).to(out.weight.device());
  return out;
}

void SearchPass::linear(const std::string& module, const Tensor& x) {
  if (!modules_.contains(module)) return;
  const Layer layer = this->layer(module);
  const Tensor tokens = x.reshape({-1, x.size(-1)});
  const Tensor wanted = empty({tokens.size(0), layer.weight.size(0)}, x.scalar_type(), x.device());
  const Tensor found = empty(wanted.sizes(), x.scalar_type(), x.device());
  plain_kernel(layer.weight, layer.bias)->run(tokens, wanted, PostOp::none);
  std::vector<Tensor> losses;
  for (const float alpha : smoothing_alphas()) {
    const Tensor scale = balancing_scale(layer.activations, layer.weight_means, alpha);
    const Tensor weight = fake_quantize_nvfp4(layer.weight.mul(scale.to(x.scalar_type())));
    plain_kernel(weight, layer.bias)
        ->run(tokens.mul(scale.reciprocal().to(x.scalar_type())), found, PostOp::none);
    losses.push_back(mean_squared_difference(found, wanted));
  }
  const Tensor all = stacked(losses, 0);
  watch(module, all.sum());
  keep_sum(losses_key(module), all);
}

void SearchPass::norm(const std::string& /*module*/, const Tensor& /*x*/) {}

void SearchPass::attention(const std::string& name, const Tensor& x) {
  const auto amax = statistics().find(amax_key(name));
  if (amax != statistics().end()) fake_quantize_e4m3(x, amax->second.to(x.device()));
}

Tensor mean_activations(const Statistics& statistics, const std::string& module) {
  const auto sum = statistics.find(activation_sum_key(module));
  if (sum == statistics.end()) return {};
  const Tensor& calls = statistics.at(activation_calls_key(module));
  return sum->second.div(static_cast<double>(calls.const_data_ptr<std::int64_t>()[0]));
}

}  // namespace ditq
