#pragma once
// Scaled dot-product attention.

#include <cstdint>
#include <string>

#include "tensor/tensor.h"

namespace ditq {

/// Whose kernel runs a network's attention.
enum class AttentionKernel {
  fastest,  ///< the first of the following three that can
  own,      ///< bf16 heads of 128 channels on compute capability 9.0
  cudnn,    ///< bf16 on compute capability 9.0 and later
  torch,    ///< torch's choice; on a CPU ours in its place where that is faster
  fp8,      ///< cuDNN's on E4M3 codes: ops/attention_fp8.h
};

struct AttentionOptions {
  Tensor bias;          ///< added to the scores, broadcast to [B, Nh, Lq, Lk]; may be empty
  bool causal = false;  ///< a query sees keys up to its own position
  double scale = 0;     ///< of the scores; 0 stands for 1 / sqrt(Dh)
  bool cudnn = true;    ///< on cuDNN where it can run
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

/// Why cuDNN cannot run bf16 heads of so many channels on this GPU; empty if it can.
std::string why_no_cudnn(std::int64_t head_dim);

namespace reference {

/// torch's own.
Tensor attention(const Tensor& q,
                 const Tensor& k,
                 const Tensor& v,
                 const AttentionOptions& options = {});

}  // namespace reference
}  // namespace ditq
