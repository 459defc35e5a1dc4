#pragma once
// The steps of FLUX.1 runs: on a GPU one recorded graph for each shape.

#include <map>
#include <memory>

#include "kernels/cuda_device.h"
#include "models/flux1.h"

namespace ditq {

/// Evaluates the network step by step. On a GPU the first evaluation of a shape and a kernel of attention runs as it is, and
/// is a result like any other; the second is recorded, and from then on a step is one launch. The graphs of the last
/// shape are kept, for as many runs as there are.
class Flux1Steps {
 public:
  explicit Flux1Steps(const Flux1Transformer& model) : model_(model) {}

  /// Predicted velocity at `latents` [B, Li, in_channels] and timestep `step` of the run. The result is overwritten by
  /// the next call. Returns before the device is done.
  Tensor operator()(const Tensor& latents,
                    const Flux1Prepared& run,
                    std::int64_t step,
                    AttentionKernel attention = AttentionKernel::fastest);

  /// Forgets what was recorded, because the network's layers have changed.
  void forget();

 private:
  /// What the graph reads and writes: its addresses are part of it.
  struct Buffers {
    Tensor latents, text, modulations;
    Rope rope;
    Tensor velocity;
  };
  bool fits(const Tensor& latents, const Flux1Prepared& run) const;
  void fill(const Tensor& latents, const Flux1Prepared& run, std::int64_t step);
  void evaluate(AttentionKernel attention);
  const CudaGraph* any_graph() const;

  /// What is known of one kernel of attention at the last shape.
  struct Recording {
    bool evaluated = false;
    std::unique_ptr<CudaGraph> graph;
  };

  const Flux1Transformer& model_;
  Buffers buffers_;
  std::map<AttentionKernel, Recording> recordings_;
};

}  // namespace ditq
