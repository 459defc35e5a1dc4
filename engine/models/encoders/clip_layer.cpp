#include "models/encoders/clip_layer.h"

#include "ops/attention.h"
#include "ops/norm.h"

namespace ditq {

void add_clip_layer(WeightTable& table, const std::string& prefix, const ClipLayerDims& dims) {
  const std::int64_t d = dims.hidden_size;
  for (const char* name : {"q_proj", "k_proj", "v_proj", "out_proj"}) {
    table.add_linear(prefix + "self_attn." + name, d, d, /*bias=*/true);
  }
  table.add_norm(prefix + "layer_norm1", d, /*bias=*/true);
  table.add_norm(prefix + "layer_norm2", d, /*bias=*/true);
  table.add_linear(prefix + "mlp.fc1", dims.intermediate_size, d, /*bias=*/true);
  table.add_linear(prefix + "mlp.fc2", d, dims.intermediate_size, /*bias=*/true);
}

ClipNorm::ClipNorm(const Weights& w, const ClipLayerDims& dims)
    : weight_(w.plain("weight", {dims.hidden_size})),
      bias_(w.plain("bias", {dims.hidden_size})),
      eps_(dims.layer_norm_eps) {}

Tensor ClipNorm::operator()(const Tensor& x) const {
  return layer_norm(x, weight_, bias_, eps_);
}

ClipLayer::ClipLayer(const Weights& w, const ClipLayerDims& dims)
    : norm1_(w / "layer_norm1", dims),
      q_(w / "self_attn" / "q_proj", dims.hidden_size, dims.hidden_size),
      k_(w / "self_attn" / "k_proj", dims.hidden_size, dims.hidden_size),
      v_(w / "self_attn" / "v_proj", dims.hidden_size, dims.hidden_size),
      out_(w / "self_attn" / "out_proj", dims.hidden_size, dims.hidden_size),
      heads_(dims.num_heads),
      causal_(dims.causal),
      norm2_(w / "layer_norm2", dims),
      fc1_(w / "mlp" / "fc1", dims.hidden_size, dims.intermediate_size),
      fc2_(w / "mlp" / "fc2", dims.intermediate_size, dims.hidden_size),
      act_(find_activation(dims.hidden_act)) {}

Tensor ClipLayer::attend(const Tensor& x) const {
  // [B, L, D] to [B, Nh, L, Dh].
  const auto split = [&](const Tensor& y) {
    return y.view({y.size(0), y.size(1), heads_, y.size(2) / heads_}).transpose(1, 2);
  };
  const Tensor mixed = attention(split(q_(x)), split(k_(x)), split(v_(x)), {.causal = causal_});
  return out_(mixed.transpose(1, 2).reshape(x.sizes()));
}

Tensor ClipLayer::operator()(const Tensor& input) const {
  const Tensor x = input.add(attend(norm1_(input)));
  return x.add(fc2_(act_(fc1_(norm2_(x)))));
}

}  // namespace ditq
