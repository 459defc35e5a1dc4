// Attention on a GPU: ditq's own kernel against exact attention; FP8 attention's passes against their plain forms on the
// CPU, the whole against exact attention.

#include "ops/attention.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "base/error.h"
#include "cuda/environment.h"
#include "ops/attention_fp8.h"
#include "ops/device_view.h"
#include "ops/joint_attention.h"
#include "ops/positions.h"
#include "support/cuda_cases.h"
#include "support/tensors.h"

namespace ditq {
namespace {

using test::kGpu;
using test::on_gpu;
using test::values;

/// One layer's queries, keys and values, its norms and angles; on a device.
struct Layer {
  Tensor qkv, weights;
  Rope rope;
  std::int64_t text;
  float q_scale, k_scale;

  explicit Layer(const test::RopeCase& c)
      : qkv(values(1, {c.batch, c.tokens, 3, c.heads, c.head_dim})),
        weights(values(2, {4, c.head_dim}).mul(0.5).abs().add(0.2)),
        rope(make_rope(grid_positions(0, c.tokens, 1),
                       {c.head_dim / 4, c.head_dim / 2, c.head_dim / 4},
                       10000)),
        text(c.text),
        q_scale(std::max(largest_after_norm(weights[0]), largest_after_norm(weights[2])) / 448),
        k_scale(std::max(largest_after_norm(weights[1]), largest_after_norm(weights[3])) / 448) {}

  AttentionScales scales(float out, at::Device device) const {
    return {q_scale, k_scale, out, device};
  }
  QkvCodes codes(at::Device device, float out = 0) const {
    const Tensor all = device.is_cuda() ? on_gpu(qkv) : qkv.clone();
    const Tensor w = on_device(weights, device);
    return joint_norm_rope_e4m3({.q = all.select(2, 0),
                                 .k = all.select(2, 1),
                                 .text_tokens = text,
                                 .text_q = w[0],
                                 .text_k = w[1],
                                 .image_q = w[2],
                                 .image_k = w[3]},
                                all.select(2, 2), rope.to(device), scales(out, device),
                                filled({3}, 0, at::kFloat, device));
  }
};

/// Queries, keys and values [B, L, 3, Nh, Dh] on the GPU, as a projection leaves them; queries of the last tokens only.
struct Heads {
  Tensor qkv;
  std::int64_t queries;

  explicit Heads(const test::AttentionCase& c, std::int64_t head_dim = 128)
      : qkv(on_gpu(values(1, {c.batch, c.keys, 3, c.heads, head_dim}))), queries(c.queries) {}

  Tensor part(std::int64_t i) const {
    const Tensor all = qkv.select(2, i);
    return i == 0 ? all.narrow(1, all.size(1) - queries, queries) : all;
  }
  void attend(const JointForms& forms,
              const Tensor& out,
              AttentionKernel kernel = AttentionKernel::fastest) const {
    joint_attention(part(0), part(1), part(2), forms, out, kernel);
  }
  /// The result in bf16, [B, L, Nh * Dh].
  Tensor attend(AttentionKernel kernel = AttentionKernel::fastest) const {
    Tensor out = empty({qkv.size(0), queries, qkv.size(3) * qkv.size(4)}, at::kBFloat16, kGpu);
    attend({}, out, kernel);
    return out;
  }
  /// By the CPU in f32.
  Tensor exact() const {
    const auto heads = [&](std::int64_t i) { return part(i).cpu().to(at::kFloat).transpose(1, 2); };
    return reference::attention(heads(0), heads(1), heads(2)).transpose(1, 2).flatten(2);
  }
};

double error(const Tensor& ours, const Tensor& theirs) {
  return ours.sub(theirs).norm().div(theirs.norm()).item<double>();
}

TEST(CudaAttention, HasItsOwnKernelOnHopper) {
  DITQ_NEEDS_GPU();
  if (!test::is_hopper()) GTEST_SKIP() << "this GPU has no kernel of ditq's own";
  for (const test::AttentionCase& c : test::kAttentionCases) {
    const Heads heads(c);
    const Tensor out = empty({c.batch, c.queries, 5 * c.heads * 128}, at::kFloat8_e4m3fn, kGpu)
                           .narrow(2, 0, c.heads * 128);
    EXPECT_EQ(cuda().why_not(AttentionProblem{.batch = c.batch,
                                              .queries = c.queries,
                                              .keys = c.keys,
                                              .heads = c.heads,
                                              .head_dim = 128,
                                              .q = token_view(heads.part(0)),
                                              .k = token_view(heads.part(1)),
                                              .v = token_view(heads.part(2)),
                                              .out = token_view(out),
                                              .e4m3 = true}),
              "")
        << c.queries;
  }
}

TEST(CudaAttention, IsExactUpToBf16) {
  DITQ_NEEDS_GPU();
  for (const test::AttentionCase& c : test::kAttentionCases) {
    SCOPED_TRACE(testing::Message()
                 << c.batch << " x " << c.queries << " x " << c.keys << " x " << c.heads);
    const Heads heads(c);
    const Tensor ours = heads.attend();
    // Weights and results are rounded to bf16: 2^-9 each at most.
    EXPECT_LE(error(ours.cpu().to(at::kFloat), heads.exact()), 0.004);
    EXPECT_EQ(test::max_abs(heads.attend().cpu(), ours.cpu()), 0);
  }
}

TEST(CudaAttention, WritesTheCodesOfItsValuesBesideOthers) {
  DITQ_NEEDS_GPU();
  for (const test::AttentionCase& c : test::kAttentionCases) {
    SCOPED_TRACE(testing::Message()
                 << c.batch << " x " << c.queries << " x " << c.keys << " x " << c.heads);
    const Heads heads(c);
    const std::int64_t width = c.heads * 128;
    const JointForms forms{.text_tokens = c.text,
                           .text = {.e4m3 = true, .scale = 0.0131F},
                           .image = {.e4m3 = true, .scale = 0.0007F}};
    const Tensor rows = filled({c.batch, c.queries, width + 64}, 1, at::kFloat8_e4m3fn, kGpu);
    const Tensor ours = rows.narrow(2, 0, width);
    heads.attend(forms, ours);
    EXPECT_EQ(rows.narrow(2, width, 64).to(at::kFloat).sub(1).abs().max().item<float>(), 0);
    const Tensor expected = empty({c.batch, c.queries, width}, at::kFloat8_e4m3fn, kGpu);
    store_in_forms(heads.attend(), forms, expected);
    EXPECT_EQ(test::max_abs(ours.cpu().to(at::kFloat), expected.cpu().to(at::kFloat)), 0);
    // bf16 beside other values: what a single block without codes asks for.
    const Tensor wide = filled({c.batch, c.queries, width + 8}, 1, at::kBFloat16, kGpu);
    heads.attend({}, wide.narrow(2, 0, width));
    EXPECT_EQ(test::max_abs(wide.narrow(2, 0, width).cpu(), heads.attend().cpu()), 0);
    EXPECT_EQ(wide.narrow(2, width, 8).sub(1).abs().max().item<float>(), 0);
  }
}

TEST(CudaAttention, FollowsScoresThatGrowFromBlockToBlock) {
  DITQ_NEEDS_GPU();
  // Every key outweighs all before it, so that each block of keys moves the maximum; the other way around none does.
  const test::AttentionCase c{1, 700, 700, 2, 0};
  for (const double step : {0.05, -0.05, 3.0}) {
    const Heads heads(c);
    heads.part(0).fill_(1);
    for (std::int64_t i = 0; i < c.keys; ++i) {
      heads.part(1)[0][i].fill_(step * static_cast<double>(i));
    }
    const Tensor ours = heads.attend();
    EXPECT_LE(error(ours.cpu().to(at::kFloat), heads.exact()), 0.004) << step;
  }
}

TEST(CudaAttention, KeepsNanToWhatItTouches) {
  DITQ_NEEDS_GPU();
  const test::AttentionCase c{1, 300, 300, 2, 0};
  const Heads heads(c);
  heads.part(0)[0][70][1][5].fill_(std::numeric_limits<double>::quiet_NaN());
  const Tensor ours = heads.attend().cpu();
  const Tensor broken = ours.ne(ours).view({c.queries, c.heads, 128});
  EXPECT_TRUE(broken[70][1].all().item<bool>());
  EXPECT_EQ(broken.sum().item<std::int64_t>(), 128);
}

TEST(CudaAttention, OtherHeadsTakeTheLibrary) {
  DITQ_NEEDS_GPU();
  const Heads heads({2, 70, 77, 3, 5}, 64);
  const Tensor out = heads.attend();
  EXPECT_LE(error(out.cpu().to(at::kFloat), heads.exact()), 0.004);
  EXPECT_NE(cuda().why_not(
                AttentionProblem{.batch = 1, .queries = 8, .keys = 8, .heads = 1, .head_dim = 64}),
            "");
}

TEST(CudaAttention, RunsOnTheKernelThatWasChosen) {
  DITQ_NEEDS_GPU();
  for (const std::int64_t head_dim : {64, 128}) {
    const AttentionHeads kind{.device = kGpu, .dtype = at::kBFloat16, .head_dim = head_dim};
    const Heads heads({1, 700, 700, 3, 0}, head_dim);
    std::vector<Tensor> results;
    for (const AttentionKernel kernel :
         {AttentionKernel::own, AttentionKernel::cudnn, AttentionKernel::torch}) {
      if (!why_not(kernel, kind).empty()) continue;
      if (results.empty()) {
        EXPECT_EQ(fastest_attention(kind), kernel);
      }
      results.push_back(heads.attend(kernel).cpu());
      EXPECT_LE(error(results.back().to(at::kFloat), heads.exact()), 0.004);
    }
    EXPECT_EQ(test::max_abs(heads.attend().cpu(), results.front()), 0);
    // Whose sums they are shows in the last bits.
    for (std::size_t i = 1; i < results.size(); ++i) {
      EXPECT_NE(test::max_abs(results[i], results[i - 1]), 0) << head_dim;
    }
    if (test::is_hopper()) {
      EXPECT_EQ(results.size(), head_dim == 128 ? 3U : 2U);
    }
  }
  const AttentionHeads f32{.device = kGpu, .dtype = at::kFloat, .head_dim = 128};
  EXPECT_EQ(fastest_attention(f32), AttentionKernel::torch);
  const Heads other({1, 8, 8, 1, 0}, 64);
  EXPECT_THROW(other.attend(AttentionKernel::own), Error);
}

/// Share of codes that differ.
double differing(const Tensor& ours, const Tensor& theirs) {
  return ours.cpu()
      .to(at::kFloat)
      .ne(theirs.cpu().to(at::kFloat))
      .to(at::kFloat)
      .mean()
      .item<double>();
}

bool has_kernel(std::int64_t head_dim) {
  return head_dim == 64 || head_dim == 128 || head_dim == 256;
}

TEST(CudaAttentionFp8, QuantizesInThePassOfNormAndRope) {
  DITQ_NEEDS_GPU();
  for (const test::RopeCase& c : test::kRopeCases) {
    if (!has_kernel(c.head_dim)) continue;
    SCOPED_TRACE(testing::Message() << c.tokens << " x " << c.heads << " x " << c.head_dim);
    const Layer layer(c);
    const QkvCodes ours = layer.codes(kGpu);
    const QkvCodes theirs = layer.codes(at::kCPU);
    EXPECT_EQ(test::max_abs(ours.v_scale.cpu(), theirs.v_scale), 0);
    EXPECT_EQ(differing(ours.v, theirs.v), 0);
    // Another order of the sum of squares moves a bf16 rounding, and that a code.
    EXPECT_LE(differing(ours.q, theirs.q), 2e-3);
    EXPECT_LE(differing(ours.k, theirs.k), 2e-3);
    EXPECT_GE(test::cosine(ours.q.cpu(), theirs.q), 0.99999);
    EXPECT_GE(test::cosine(ours.k.cpu(), theirs.k), 0.99999);
  }
}

TEST(CudaAttentionFp8, FindsTheScaleOfZerosAndOfOneLargeValue) {
  DITQ_NEEDS_GPU();
  Layer layer({1, 5, 2, 128, 0});
  layer.qkv.select(2, 2).zero_();
  const QkvCodes zeros = layer.codes(kGpu);
  EXPECT_EQ(zeros.v_scale.cpu()[0].item<float>(), 1.0F);
  EXPECT_EQ(test::max_abs(zeros.v.cpu(), layer.codes(at::kCPU).v), 0);
  layer.qkv.select(2, 2)[0][4][1][127].fill_(-3584);
  EXPECT_EQ(layer.codes(kGpu).v_scale.cpu()[0].item<float>(), 8.0F);
}

/// Exact attention over the codes' values, [B, L, Nh * Dh] f32.
Tensor exact(const QkvCodes& codes, const Layer& layer) {
  const auto heads = [](const Tensor& x, float scale) {
    return x.cpu().to(at::kFloat).mul(scale).transpose(1, 2);
  };
  return reference::attention(heads(codes.q, layer.q_scale), heads(codes.k, layer.k_scale),
                              heads(codes.v, codes.v_scale.cpu()[0].item<float>()))
      .transpose(1, 2)
      .flatten(2);
}

TEST(CudaAttentionFp8, IsAsExactAsItsDefinition) {
  DITQ_NEEDS_GPU();
  for (const test::RopeCase& c : {test::RopeCase{1, 320, 2, 128, 64},
                                  {2, 77, 3, 64, 5},
                                  {1, 1000, 24, 128, 512},
                                  {1, 33, 1, 128, 0}}) {
    SCOPED_TRACE(testing::Message() << c.batch << " x " << c.tokens << " x " << c.heads);
    const Layer layer(c);
    const std::int64_t width = c.heads * c.head_dim;
    const AttentionExtents extents{.batch = c.batch,
                                   .tokens = c.tokens,
                                   .heads = c.heads,
                                   .head_dim = c.head_dim,
                                   .out_row_stride = 5 * width};
    const std::string why_not = why_no_attention_e4m3(extents, kGpu, at::kBFloat16);
    if (!why_not.empty()) GTEST_SKIP() << why_not;
    for (const float out_scale : {0.0F, 0.011F}) {
      const QkvCodes codes = layer.codes(kGpu, out_scale);
      const AttentionScales scales = layer.scales(out_scale, kGpu);
      // Beside other values, which must stay.
      const Tensor rows = filled({c.batch, c.tokens, 5 * width}, 1, at::kFloat8_e4m3fn, kGpu);
      const Tensor out = rows.narrow(2, 0, width);
      attention_e4m3(codes, scales, out);
      EXPECT_EQ(rows.narrow(2, width, 4 * width).to(at::kFloat).sub(1).abs().max().item<float>(),
                0);
      const Tensor ours = empty(out.sizes(), at::kBFloat16, kGpu);
      dequantize_into(out, scales.out_scale(codes.v_scale), ours);

      const QkvCodes on_cpu{.q = codes.q.cpu(),
                            .k = codes.k.cpu(),
                            .v = codes.v.cpu(),
                            .v_scale = codes.v_scale.cpu()};
      const AttentionScales cpu_scales = layer.scales(out_scale, at::kCPU);
      const Tensor emulated = reference::attention_e4m3(on_cpu, cpu_scales)
                                  .to(at::kFloat)
                                  .mul(cpu_scales.out_scale(on_cpu.v_scale));
      const Tensor expected = exact(codes, layer);
      const double ours_off = error(ours.cpu().to(at::kFloat), expected);
      const double emulated_off = error(emulated, expected);
      std::printf("  %d tokens: off by %.4f, the definition by %.4f\n", static_cast<int>(c.tokens),
                  ours_off, emulated_off);
      // Weights are rounded against another maximum, so that single codes differ, but by no more on the whole.
      EXPECT_LE(ours_off, 1.15 * emulated_off + 1e-3);
      EXPECT_GE(test::cosine(ours.cpu(), emulated), 0.998);
      // Bits do not depend on the run.
      const Tensor again = empty(out.sizes(), at::kFloat8_e4m3fn, kGpu);
      const AttentionExtents plain{.batch = c.batch,
                                   .tokens = c.tokens,
                                   .heads = c.heads,
                                   .head_dim = c.head_dim,
                                   .out_row_stride = width};
      ASSERT_EQ(why_no_attention_e4m3(plain, kGpu, at::kBFloat16), "");
      attention_e4m3(codes, scales, again);
      EXPECT_EQ(differing(again, out), 0);
    }
  }
}

TEST(CudaAttentionFp8, SaysWhatItCannotDo) {
  DITQ_NEEDS_GPU();
  const auto why_not = [](std::int64_t tokens, std::int64_t head_dim, at::ScalarType dtype) {
    return why_no_attention_e4m3({.batch = 1,
                                  .tokens = tokens,
                                  .heads = 2,
                                  .head_dim = head_dim,
                                  .out_row_stride = 2 * head_dim},
                                 kGpu, dtype);
  };
  for (const std::string& reason : {why_not(1, 128, at::kBFloat16), why_not(320, 96, at::kBFloat16),
                                    why_not(320, 128, at::kFloat)}) {
    EXPECT_NE(reason, "");
    EXPECT_EQ(reason.find('\n'), std::string::npos);
  }
}

TEST(CudaAttentionFp8, DequantizesEveryCode) {
  DITQ_NEEDS_GPU();
  std::vector<float> bits(256);
  for (std::size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<float>(i);
  const Tensor codes = from_values(bits).to(at::kByte).view(at::kFloat8_e4m3fn).reshape({1, 4, 64});
  const Tensor ours = empty({1, 4, 64}, at::kBFloat16, kGpu);
  dequantize_into(on_gpu(codes), filled({1}, 0.37, at::kFloat, kGpu), ours);
  const Tensor theirs = empty({1, 4, 64}, at::kBFloat16);
  dequantize_into(codes, filled({1}, 0.37, at::kFloat), theirs);
  const Tensor numbers = theirs.eq(theirs);
  EXPECT_TRUE(numbers.eq(ours.cpu().eq(ours.cpu())).all().item<bool>());
  EXPECT_EQ(ours.cpu().sub(theirs).masked_select(numbers).abs().max().item<float>(), 0);
}

}  // namespace
}  // namespace ditq
