#pragma once
// What is measured while the network runs: one class per kind of pass.

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "nn/layer_listener.h"
#include "pipeline/state_file.h"
#include "tensor/weights.h"

namespace ditq {

/// The alphas that SVDQuant tries: 0, 0.1, … 1 in f32.
const std::vector<float>& smoothing_alphas();

/// Names of what a pass leaves in the statistics for the next one; not part of the finished state.
std::string activation_sum_key(const std::string& module);    ///< f32 [K]: sum of channel means
std::string activation_calls_key(const std::string& module);  ///< i64 [1]: how many were added
std::string losses_key(const std::string& module);            ///< f32 [11]: one for each alpha

/// Collects into statistics that the next pass, or a resumed one, goes on with. On a GPU everything stays there until
/// somebody asks.
class CalibrationPass : public LayerListener {
 public:
  explicit CalibrationPass(Statistics& statistics) : statistics_(statistics) {}

  void linear(const std::string& module, const Tensor& x) override = 0;
  void norm(const std::string& module, const Tensor& x) override;
  void attention(const std::string& name, const Tensor& x) override;

  /// After every step. Errors: not_a_number, naming the first layer that was given a NaN or an infinity.
  void check();
  /// Before the statistics are written: everything on the CPU.
  void fetch();

 protected:
  Statistics& statistics() { return statistics_; }
  /// Keeps the larger of a 0-d value and what is there under `key`.
  void keep_largest(const std::string& key, const Tensor& value);
  /// Adds to what is there under `key`.
  void keep_sum(const std::string& key, const Tensor& value);
  /// `value` [] has to be finite, else the layer `what` was given something else. Looked at in check().
  void watch(const std::string& what, const Tensor& value);
  /// What `measure` makes of x; layers over one input share it.
  const Tensor& measured_once(const Tensor& x, const std::function<Tensor(const Tensor&)>& measure);

 private:
  Statistics& statistics_;
  std::vector<std::pair<std::string, Tensor>> watched_;
  Tensor last_input_;
  Tensor last_value_;
};

/// Largest magnitudes of everything, ModelOpt's max calibration (its reference, 3.3). A layer that is smoothed is
/// measured behind its scale.
class MaxPass : public CalibrationPass {
 public:
  /// pre_quant_scales: by module, [K] in the run's dtype on its device; modules without one are plain.
  MaxPass(Statistics& statistics, std::map<std::string, Tensor> pre_quant_scales);
  void linear(const std::string& module, const Tensor& x) override;

 private:
  std::map<std::string, Tensor> pre_quant_scales_;
};

/// SVDQuant's first pass: channel means of inputs (4.1).
class ActivationPass : public CalibrationPass {
 public:
  /// modules: those that SVDQuant changes.
  ActivationPass(Statistics& statistics, std::set<std::string> modules);
  void linear(const std::string& module, const Tensor& x) override;

 private:
  std::set<std::string> modules_;
};

/// SVDQuant's second pass: what each alpha costs (4.3). Attention runs with its FP8 quantizers, whose amax the first
/// pass has found: ModelOpt has switched them on by then.
class SearchPass : public CalibrationPass {
 public:
  /// weights: the transformer's, which outlive the pass.
  SearchPass(Statistics& statistics,
             const Weights& weights,
             std::set<std::string> modules,
             std::int64_t block);
  void linear(const std::string& module, const Tensor& x) override;
  void norm(const std::string& module, const Tensor& x) override;
  void attention(const std::string& name, const Tensor& x) override;

 private:
  /// A layer's weight [N, K], bias [N] or empty, and the statistics that scales are made from, [K] f32.
  struct Layer {
    Tensor weight, bias, activations, weight_means;
  };
  Layer layer(const std::string& module);

  const Weights& weights_;
  std::set<std::string> modules_;
  std::int64_t block_;
  std::map<std::string, Tensor> weight_means_;
};

/// A layer's mean activations [K] f32 after the first pass; empty where it saw no data.
Tensor mean_activations(const Statistics& statistics, const std::string& module);

}  // namespace ditq
