#include "ops/attention_fp8.h"

#include <algorithm>
#include <cmath>

#include <ATen/ops/amax.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/matmul.h>

#include "base/error.h"
#include "ops/device_view.h"
#include "ops/quantize.h"
#include "tensor/create.h"

namespace ditq {
namespace {

constexpr float kMost = 448.0F;
/// Weights are at most 1: the largest power of two that E4M3 holds, so that small ones keep most bits.
constexpr float kWeightInverse = 256.0F;

/// Places in AttentionScales::device.
enum Place : std::int64_t { kQ, kK, kWeight, kWeightInverted, kOut, kOutInverted };

const float* at_place(const Tensor& values, std::int64_t place) {
  return values.const_data_ptr<float>() + place;
}

CodeView code_view(const Tensor& x) {
  return {.data = x.data_ptr(), .batch_stride = x.stride(0), .row_stride = x.stride(1)};
}

bool can_run_cuda(const JointQk& qk, const Tensor& v) {
  return qk.q.is_cuda() && has_vector_rows(qk.q) && has_vector_rows(qk.k) && has_vector_rows(v);
}

/// Codes of all values under the scale of the largest, whose bits found[0] holds; found[1], found[2] receive the scale.
void quantize_values(const Tensor& v, const Tensor& found, const Tensor& codes) {
  const Tensor rows = v.flatten(2);
  for (std::int64_t batch = 0; batch < rows.size(0); ++batch) {
    cuda().quantize({.rows = rows.size(1),
                     .columns = rows.size(2),
                     .x = rows[batch].const_data_ptr(),
                     .x_stride = rows.stride(1),
                     .out = codes[batch].data_ptr(),
                     .out_stride = codes.stride(1),
                     .largest = at_place(found, 0),
                     .made_scale = found.mutable_data_ptr<float>() + 1});
  }
}

void run_cuda(const JointQk& qk,
              const Tensor& v,
              const Rope& rope,
              const AttentionScales& scales,
              const Tensor& found,
              const QkvCodes& out) {
  const auto data = [](const Tensor& x) { return x.defined() ? x.const_data_ptr() : nullptr; };
  cuda().qk_norm_rope(
      {.batch = qk.q.size(0),
       .tokens = qk.q.size(1),
       .heads = qk.q.size(2),
       .head_dim = qk.q.size(3),
       .text_tokens = qk.text_tokens,
       .q = token_view(qk.q),
       .k = token_view(qk.k),
       .text_q = data(qk.text_q),
       .text_k = data(qk.text_k),
       .image_q = data(qk.image_q),
       .image_k = data(qk.image_k),
       .cos = rope.cos.const_data_ptr<float>(),
       .sin = rope.sin.const_data_ptr<float>(),
       .epsilon = kQkNormEpsilon,
       .q_codes = code_view(out.q),
       .k_codes = code_view(out.k),
       .q_inverse = 1.0F / scales.q,
       .k_inverse = 1.0F / scales.k,
       .v = token_view(v),
       .largest_v = reinterpret_cast<std::uint32_t*>(found.mutable_data_ptr<float>())});
  quantize_values(v, found, out.v);
}

/// The same in plain operations.
void run_reference(const JointQk& qk,
                   const Tensor& v,
                   const Rope& rope,
                   const AttentionScales& scales,
                   const Tensor& found,
                   const QkvCodes& out) {
  joint_norm_rope(qk, rope);
  out.q.copy_(reference::e4m3_codes(qk.q, scales.q, /*gelu=*/false));
  out.k.copy_(reference::e4m3_codes(qk.k, scales.k, /*gelu=*/false));
  auto* numbers = found.mutable_data_ptr<float>();
  const auto largest = v.abs().amax().to(at::kFloat).item<float>();
  const float most = largest == 0 ? kMost : largest;
  numbers[0] = largest;
  numbers[1] = most / kMost;
  numbers[2] = kMost / most;
  out.v.copy_(at::clamp(v.to(at::kFloat).mul(numbers[2]), -kMost, kMost).to(at::kFloat8_e4m3fn));
}

AttentionE4m3Problem problem_of(const AttentionExtents& e) {
  // As joint_norm_rope_e4m3 lays them out: the three of a token behind one another.
  const std::int64_t width = e.heads * e.head_dim;
  const CodeView in{.data = nullptr, .batch_stride = e.tokens * 3 * width, .row_stride = 3 * width};
  return {.batch = e.batch,
          .tokens = e.tokens,
          .heads = e.heads,
          .head_dim = e.head_dim,
          .q = in,
          .k = in,
          .v = in,
          .out = {.data = nullptr,
                  .batch_stride = e.tokens * e.out_row_stride,
                  .row_stride = e.out_row_stride},
          .scale = 1.0 / std::sqrt(static_cast<double>(e.head_dim))};
}

}  // namespace

AttentionScales::AttentionScales(float q_scale, float k_scale, float out_scale, at::Device where)
    : q(q_scale), k(k_scale), out(out_scale) {
  const float known = out == 0 ? 1.0F : out;
  device = on_device(from_values(std::vector<float>{q, k, 1.0F / kWeightInverse, kWeightInverse,
                                                    known, 1.0F / known}),
                     where);
}

Tensor AttentionScales::out_scale(const Tensor& v_scale) const {
  return out == 0 ? v_scale.narrow(0, 0, 1) : device.narrow(0, kOut, 1);
}

float largest_after_norm(const Tensor& weight) {
  const auto most = weight.abs().max().to(at::kFloat).item<float>();
  return most * std::sqrt(static_cast<float>(weight.size(0)));
}

QkvCodes joint_norm_rope_e4m3(const JointQk& qk,
                              const Tensor& v,
                              const Rope& rope,
                              const AttentionScales& scales,
                              const Tensor& found) {
  const Tensor all = empty({qk.q.size(0), qk.q.size(1), 3, qk.q.size(2), qk.q.size(3)},
                           at::kFloat8_e4m3fn, qk.q.device());
  QkvCodes out{.q = all.select(2, 0),
               .k = all.select(2, 1),
               .v = all.select(2, 2),
               .v_scale = found.narrow(0, 1, 2)};
  if (qk.q.is_cpu()) {
    run_reference(qk, v, rope, scales, found, out);
    return out;
  }
  DITQ_ASSERT(can_run_cuda(qk, v));
  run_cuda(qk, v, rope, scales, found, out);
  return out;
}

void attention_e4m3(const QkvCodes& qkv, const AttentionScales& scales, const Tensor& out) {
  if (qkv.q.is_cpu()) {
    out.copy_(reference::attention_e4m3(qkv, scales));
    return;
  }
  AttentionE4m3Problem problem = problem_of({.batch = qkv.q.size(0),
                                             .tokens = qkv.q.size(1),
                                             .heads = qkv.q.size(2),
                                             .head_dim = qkv.q.size(3),
                                             .out_row_stride = out.stride(1)});
  problem.q = code_view(qkv.q);
  problem.k = code_view(qkv.k);
  problem.v = code_view(qkv.v);
  problem.out = code_view(out);
  problem.q_scale = at_place(scales.device, kQ);
  problem.k_scale = at_place(scales.device, kK);
  problem.v_scale = at_place(qkv.v_scale, 0);
  problem.weight_scale = at_place(scales.device, kWeight);
  problem.weight_inverse = at_place(scales.device, kWeightInverted);
  problem.out_inverse =
      scales.out == 0 ? at_place(qkv.v_scale, 1) : at_place(scales.device, kOutInverted);
  cuda().attention(problem);
}

void dequantize_into(const Tensor& codes, const Tensor& scale, const Tensor& out) {
  if (!codes.is_cuda() || out.scalar_type() != at::kBFloat16 || !has_vector_rows(codes) ||
      !has_vector_rows(out)) {
    out.copy_(codes.to(at::kFloat).mul(scale));
    return;
  }
  for (std::int64_t batch = 0; batch < codes.size(0); ++batch) {
    cuda().dequantize({.rows = codes.size(1),
                       .columns = codes.size(2),
                       .codes = codes[batch].const_data_ptr(),
                       .codes_stride = codes.stride(1),
                       .out = out[batch].data_ptr(),
                       .out_stride = out.stride(1),
                       .scale = scale.const_data_ptr<float>()});
  }
}

std::string why_no_attention_e4m3(const AttentionExtents& extents,
                                  at::Device device,
                                  at::ScalarType dtype) {
  if (dtype != at::kBFloat16) return "FP8 attention takes bf16 queries, keys and values";
  if (device.is_cpu()) return {};
  const std::int64_t size = extents.head_dim;
  if (size != 64 && size != 128 && size != 256) {
    return "FP8 attention needs heads of 64, 128 or 256 channels";
  }
  return cuda().why_not(problem_of(extents));
}

namespace reference {

Tensor attention_e4m3(const QkvCodes& qkv, const AttentionScales& scales) {
  constexpr std::int64_t kQueries = 1024;
  const auto head_major = [](const Tensor& x) { return x.to(at::kFloat).transpose(1, 2); };
  const Tensor q = head_major(qkv.q), k = head_major(qkv.k), v = head_major(qkv.v);
  const auto v_scale = qkv.v_scale.const_data_ptr<float>()[0];
  const float inverse =
      scales.out == 0 ? qkv.v_scale.const_data_ptr<float>()[1] : 1.0F / scales.out;
  const double score = static_cast<double>(scales.q) * static_cast<double>(scales.k) /
                       std::sqrt(static_cast<double>(q.size(3)));
  const Tensor out = at::empty(q.sizes(), q.options());
  for (std::int64_t batch = 0; batch < q.size(0); ++batch) {
    for (std::int64_t head = 0; head < q.size(1); ++head) {
      const Tensor keys = k[batch][head].t();
      for (std::int64_t first = 0; first < q.size(2); first += kQueries) {
        const std::int64_t count = std::min(kQueries, q.size(2) - first);
        const Tensor scores = at::matmul(q[batch][head].narrow(0, first, count), keys).mul(score);
        const Tensor weights = at::exp(scores.sub(scores.amax(1, /*keepdim=*/true)));
        const Tensor codes = weights.mul(kWeightInverse).to(at::kFloat8_e4m3fn).to(at::kFloat);
        const Tensor mixed = at::matmul(codes, v[batch][head]).mul(v_scale / kWeightInverse);
        out[batch][head].narrow(0, first, count).copy_(mixed.div(weights.sum(1, /*keepdim=*/true)));
      }
    }
  }
  return at::clamp(out.transpose(1, 2).flatten(2).mul(inverse), -kMost, kMost)
      .to(at::kFloat8_e4m3fn);
}

}  // namespace reference
}  // namespace ditq
