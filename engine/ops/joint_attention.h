#pragma once
// Attention over text and image tokens in one sequence, written as the layers behind it read it.

#include <cstdint>
#include <string>

#include "ops/attention.h"
#include "ops/form.h"
#include "tensor/tensor.h"

namespace ditq {

/// The layers that read attention's result: one its first rows, the text tokens, another the rest.
struct JointForms {
  std::int64_t text_tokens = 0;
  Form text, image;
};

/// out = softmax(q k^T / sqrt(Dh)) v, rounded to q's dtype; then, where out holds E4M3 codes, quantized under the scale
/// of the form that reads the row.
/// Shapes: q [B, Lq, Nh, Dh], k, v [B, Lk, Nh, Dh], contiguous in Dh; out [B, Lq, Nh * Dh] in q's dtype or Float8_e4m3fn,
/// rows contiguous.
/// The own kernel does all of it in one pass; the others are `attention` and `store_in_forms`.
/// kernel: not fp8. Errors: unsupported, if `own` cannot run these.
void joint_attention(const Tensor& q,
                     const Tensor& k,
                     const Tensor& v,
                     const JointForms& forms,
                     const Tensor& out,
                     AttentionKernel kernel = AttentionKernel::fastest);

/// Heads as a network has them.
struct AttentionHeads {
  at::Device device = at::kCPU;
  at::ScalarType dtype = at::kBFloat16;
  std::int64_t head_dim = 0;
};

/// Why own, cudnn or torch cannot run such heads; empty if it can.
std::string why_not(AttentionKernel kernel, const AttentionHeads& heads);

/// What `fastest` stands for.
AttentionKernel fastest_attention(const AttentionHeads& heads);

/// out = values, as codes or as they are. Shapes: values [B, L, C]; out of the same shape, as above.
void store_in_forms(const Tensor& values, const JointForms& forms, const Tensor& out);

}  // namespace ditq
