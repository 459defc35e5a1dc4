#include "ops/attention.h"

#include <ATen/ops/scaled_dot_product_attention.h>

namespace ditq {

Tensor attention(const Tensor& q,
                 const Tensor& k,
                 const Tensor& v,
                 const AttentionOptions& options) {
  const std::optional<double> scale =
      options.scale == 0 ? std::nullopt : std::optional<double>(options.scale);
  const std::optional<Tensor> bias =
      options.bias.defined() ? std::optional<Tensor>(options.bias) : std::nullopt;
  return at::scaled_dot_product_attention(q, k, v, bias, 0.0, options.causal, scale);
}

}  // namespace ditq
