#pragma once
// Attention over text and image tokens in one sequence, written as the layers behind it read it.

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
/// bf16 heads of 128 channels take one pass on compute capability 9.0; everything else is `attention` and `store_in_forms`.
void joint_attention(
    const Tensor& q, const Tensor& k, const Tensor& v, const JointForms& forms, const Tensor& out);

/// out = values, as codes or as they are. Shapes: values [B, L, C]; out of the same shape, as above.
void store_in_forms(const Tensor& values, const JointForms& forms, const Tensor& out);

}  // namespace ditq
