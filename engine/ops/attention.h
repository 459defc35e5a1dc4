#pragma once
// Scaled dot-product attention.

#include "tensor/tensor.h"

namespace ditq {

/// What a network's attention multiplies.
enum class AttentionArithmetic {
  plain,  ///< values of the run's dtype: `attention`
  fp8,    ///< E4M3 codes: ops/attention_fp8.h
};

struct AttentionOptions {
  Tensor bias;          ///< added to the scores, broadcast to [B, Nh, Lq, Lk]; may be empty
  bool causal = false;  ///< a query sees keys up to its own position
  double scale = 0;     ///< of the scores; 0 stands for 1 / sqrt(Dh)
};

/// softmax(q k^T * scale + bias) v.
/// Shapes: q [B, Nh, Lq, Dh]; k, v [B, Nh, Lk, Dh], contiguous in Dh. bf16 or f32, softmax in f32. Returns q's shape and
/// dtype; [B, Lq, Nh, Dh] in memory, so that joining the heads copies nothing.
/// Plain bf16 attention runs on the CPU's bf16 products where it has them, and on cuDNN on Hopper and later; everything
/// else is torch's.
Tensor attention(const Tensor& q,
                 const Tensor& k,
                 const Tensor& v,
                 const AttentionOptions& options = {});

namespace reference {

/// torch's own.
Tensor attention(const Tensor& q,
                 const Tensor& k,
                 const Tensor& v,
                 const AttentionOptions& options = {});

}  // namespace reference
}  // namespace ditq
