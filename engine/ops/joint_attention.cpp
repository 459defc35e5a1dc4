#include "ops/joint_attention.h"

#include <cmath>

#include "base/error.h"
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

/// Runs the own kernel; empty, or why it cannot.
std::string run_own(
    const Tensor& q, const Tensor& k, const Tensor& v, const JointForms& forms, const Tensor& out) {
  if (!q.is_cuda()) return "it is for GPUs";
  if (!is_bf16_of_heads(q) || !is_bf16_of_heads(k) || !is_bf16_of_heads(v)) {
    return "it takes bf16 heads behind one another";
  }
  const AttentionProblem problem = problem_of(q, k, v, forms, out);
  std::string reason = cuda().why_not(problem);
  if (reason.empty()) cuda().attention(problem);
  return reason;
}

}  // namespace

void joint_attention(const Tensor& q,
                     const Tensor& k,
                     const Tensor& v,
                     const JointForms& forms,
                     const Tensor& out,
                     AttentionKernel kernel) {
  DITQ_ASSERT(kernel != AttentionKernel::fp8);
  if (kernel == AttentionKernel::fastest || kernel == AttentionKernel::own) {
    const std::string reason = run_own(q, k, v, forms, out);
    if (reason.empty()) return;
    if (kernel == AttentionKernel::own) {
      throw Error(ErrorCode::unsupported, "ditq's attention kernel does not run here",
                  {.found = reason});
    }
  }
  const Tensor values = attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2),
                                  {.cudnn = kernel != AttentionKernel::torch});
  store_in_forms(values.transpose(1, 2).flatten(2), forms, out);
}

std::string why_not(AttentionKernel kernel, const AttentionHeads& heads) {
  DITQ_ASSERT(kernel != AttentionKernel::fastest && kernel != AttentionKernel::fp8);
  if (kernel == AttentionKernel::torch) return {};
  if (!heads.device.is_cuda()) return "it is for GPUs";
  if (heads.dtype != at::kBFloat16) return "it takes bf16";
  if (kernel == AttentionKernel::cudnn) return why_no_cudnn(heads.head_dim);
  return cuda().why_not(AttentionProblem{
      .batch = 1, .queries = 1, .keys = 1, .heads = 1, .head_dim = heads.head_dim});
}

AttentionKernel fastest_attention(const AttentionHeads& heads) {
  for (const AttentionKernel kernel : {AttentionKernel::own, AttentionKernel::cudnn}) {
    if (why_not(kernel, heads).empty()) return kernel;
  }
  return AttentionKernel::torch;
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
