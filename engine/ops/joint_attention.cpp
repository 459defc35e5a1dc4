#include "ops/joint_attention.h"

#include <cmath>

#include "ops/attention.h"
#include "ops/device_view.h"
#include "ops/quantize.h"

namespace ditq {
namespace {

bool is_codes(const Tensor& x) {
  return x.scalar_type() == at::kFloat8_e4m3fn;
}

AttentionProblem problem_of(
    const Tensor& q, const Tensor& k, const Tensor& v, const JointForms& forms, const Tensor& out) {
  return {.batch = q.size(0),
          .queries = q.size(1),
          .keys = k.size(1),
          .heads = q.size(2),
          .head_dim = q.size(3),
          .q = token_view(q),
          .k = token_view(k),
          .v = token_view(v),
          .out = token_view(out),
          .scale = 1.0 / std::sqrt(static_cast<double>(q.size(3))),
          .e4m3 = is_codes(out),
          .text_tokens = forms.text_tokens,
          .text_inverse = 1.0F / forms.text.scale,
          .image_inverse = 1.0F / forms.image.scale};
}

bool is_bf16_of_heads(const Tensor& x) {
  return x.scalar_type() == at::kBFloat16 && x.stride(3) == 1 && x.stride(2) == x.size(3);
}

}  // namespace

void joint_attention(
    const Tensor& q, const Tensor& k, const Tensor& v, const JointForms& forms, const Tensor& out) {
  if (q.is_cuda() && is_bf16_of_heads(q) && is_bf16_of_heads(k) && is_bf16_of_heads(v)) {
    const AttentionProblem problem = problem_of(q, k, v, forms, out);
    if (cuda().why_not(problem).empty()) return cuda().attention(problem);
  }
  const Tensor values = attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2));
  store_in_forms(values.transpose(1, 2).flatten(2), forms, out);
}

void store_in_forms(const Tensor& values, const JointForms& forms, const Tensor& out) {
  if (!is_codes(out)) {
    out.copy_(values);
    return;
  }
  const auto quantize = [&](std::int64_t begin, std::int64_t count, const Form& form) {
    if (count == 0) return;
    quantize_into(values.narrow(1, begin, count), form.scale, /*gelu=*/false,
                  out.narrow(1, begin, count));
  };
  quantize(0, forms.text_tokens, forms.text);
  quantize(forms.text_tokens, values.size(1) - forms.text_tokens, forms.image);
}

}  // namespace ditq
