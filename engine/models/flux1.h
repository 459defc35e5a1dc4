#pragma once
// The FLUX.1 transformer: double-stream blocks, then single-stream blocks, over packed latents.
// Tensor names are those of the diffusers dialect; the order of definitions follows the network.

#include <memory>
#include <string>
#include <vector>

#include "family/flux1.h"
#include "nn/linear.h"
#include "ops/attention.h"
#include "ops/rope.h"
#include "tensor/weights.h"

namespace ditq {

/// What a run is given, the same at every step; on the network's device.
struct Flux1Conditions {
  Tensor txt;        ///< T5 states [B, Lt, joint_attention_dim], run dtype
  Tensor pooled;     ///< pooled CLIP state [B, pooled_projection_dim], run dtype
  Tensor guidance;   ///< [B] f32; empty where the model takes none
  Tensor positions;  ///< [Lt + Li, 3] f32: text tokens first (all zero), then (0, row, column)
};

/// What one evaluation of the network is given.
struct Flux1Input {
  Tensor img;  ///< packed latents [B, Li, in_channels], run dtype
  Tensor txt;  ///< as in Flux1Conditions, and so below
  Tensor pooled;
  Tensor timestep;  ///< [B] in 0…1, run dtype
  Tensor guidance;
  Tensor positions;
};

/// What does not depend on the latents, computed before the steps.
struct Flux1Prepared {
  Tensor modulations;  ///< [N, B, width]: shifts, scales and gates of all blocks at every timestep
  Tensor text;         ///< [B, Lt, D]
  Rope rope;
};

class Flux1Transformer {
 public:
  /// Checks names and shapes against the family's table, then builds.
  /// Errors: family_mismatch (all problems at once), and those of Linear.
  Flux1Transformer(const Weights& w, const Flux1Dims& dims);
  ~Flux1Transformer();
  Flux1Transformer(Flux1Transformer&&) noexcept;

  /// Predicted velocity [B, Li, out_channels], run dtype.
  Tensor operator()(const Flux1Input& input) const;

  /// Everything that can be computed before the first step. timesteps: N of [B] in 0…1, run dtype.
  Flux1Prepared prepare(const std::vector<Tensor>& timesteps,
                        const Flux1Conditions& conditions) const;

  /// One evaluation from prepared parts: modulations [B, width] of one timestep. On a GPU it launches work and waits for
  /// nothing.
  Tensor step(const Tensor& img,
              const Tensor& text,
              const Tensor& modulations,
              const Rope& rope,
              AttentionKernel attention = AttentionKernel::fastest) const;

  /// Empty if a step can run with FP8 attention over so many tokens, else why not. On a GPU the kernels are made
  /// here, so that no step waits for them.
  std::string why_no_fp8_attention(std::int64_t batch, std::int64_t tokens) const;

  const Flux1Dims& dims() const { return dims_; }

 private:
  struct Network;
  Flux1Dims dims_;
  std::unique_ptr<const Network> network_;
};

/// Positions of Lt text tokens and of a grid of packed latents, [Lt + rows * columns, 3] f32, rounded to `dtype` as
/// diffusers keeps them in it. Source: diffusers pipeline_flux.py 0.39 (_prepare_latent_image_ids).
Tensor flux1_positions(std::int64_t text_tokens,
                       std::int64_t rows,
                       std::int64_t columns,
                       at::ScalarType dtype);

}  // namespace ditq
