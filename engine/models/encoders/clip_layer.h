#pragma once
// The layer that CLIP's text and vision encoders share.

#include <string>

#include "nn/check_weights.h"
#include "nn/linear.h"
#include "ops/activation.h"
#include "tensor/weights.h"

namespace ditq {

/// Sizes of a layer.
struct ClipLayerDims {
  std::int64_t hidden_size = 0;        ///< D
  std::int64_t intermediate_size = 0;  ///< width of the feed-forward layer
  std::int64_t num_heads = 0;          ///< Nh
  double layer_norm_eps = 1e-5;
  std::string hidden_act;
  bool causal = false;  ///< a position sees those before it only
};

/// Adds the tensors of a layer whose name, dot included, is `prefix`.
void add_clip_layer(WeightTable& table, const std::string& prefix, const ClipLayerDims& dims);

/// Normalisation with weight and bias [D].
class ClipNorm {
 public:
  ClipNorm(const Weights& w, const ClipLayerDims& dims);
  /// [..., D] to [..., D].
  Tensor operator()(const Tensor& x) const;

 private:
  Tensor weight_, bias_;
  double eps_;
};

/// Self-attention and a feed-forward layer, both pre-norm. Source: transformers models/clip/modeling_clip.py 5.17
/// (CLIPEncoderLayer).
class ClipLayer {
 public:
  ClipLayer(const Weights& w, const ClipLayerDims& dims);
  /// [B, L, D] to [B, L, D].
  Tensor operator()(const Tensor& input) const;

 private:
  Tensor attend(const Tensor& x) const;

  ClipNorm norm1_;
  Linear q_, k_, v_, out_;
  std::int64_t heads_;
  bool causal_;
  ClipNorm norm2_;
  Linear fc1_, fc2_;
  Activation act_;
};

}  // namespace ditq
