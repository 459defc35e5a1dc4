#include "nn/embeddings.h"

#include "ops/activation.h"

namespace ditq {

EmbeddingMlp::EmbeddingMlp(const Weights& w, std::int64_t in_features, std::int64_t hidden)
    : linear_1_(w / "linear_1", in_features, hidden), linear_2_(w / "linear_2", hidden, hidden) {}

Tensor EmbeddingMlp::operator()(const Tensor& x) const {
  return linear_2_(silu(linear_1_(x)));
}

}  // namespace ditq
