// Every fused kernel against its plain reference on the CPU, over the case table.

#include <limits>

#include <gtest/gtest.h>

#include "cuda/environment.h"
#include "ops/attention.h"
#include "ops/modulate.h"
#include "ops/positions.h"
#include "ops/quantize.h"
#include "ops/rope.h"
#include "support/cuda_cases.h"
#include "support/tensors.h"

namespace ditq {
namespace {

using test::kGpu;
using test::on_gpu;
using test::values;

/// Share of codes that differ. Codes that do may lie one step apart, a last bit of f32 at a rounding boundary, or
/// `slack` where a difference of rounded values is small.
double differing(const Tensor& ours, const Tensor& theirs, double slack = 0) {
  const Tensor a = ours.cpu().to(at::kFloat);
  const Tensor b = theirs.to(at::kFloat);
  const Tensor step = b.abs().div(8).clamp_min(1.0 / 512).mul(1.01).add(slack);
  EXPECT_TRUE(a.sub(b).abs().le(step).all().item<bool>());
  return a.ne(b).to(at::kFloat).mean().item<double>();
}

void expect_close(const Tensor& ours, const Tensor& theirs, bool e4m3) {
  if (e4m3) {
    // A code moves where another order of a sum crosses a rounding boundary of bf16 that is one of E4M3 too.
    // A unit of bf16 at 8 is 0.03: 1.5 at the scale of these cases.
    EXPECT_LE(differing(ours, theirs, /*slack=*/1.5), 2e-3);
    return;
  }
  EXPECT_GE(test::cosine(ours.cpu(), theirs), 0.999999);
  EXPECT_LE(test::relative(ours.cpu(), theirs), 0.008);  // a unit of bf16 at the largest value
}

TEST(CudaNormModulate, AgreesWithItsReference) {
  DITQ_NEEDS_GPU();
  for (const test::NormCase& c : test::kNormCases) {
    SCOPED_TRACE(testing::Message() << c.batch << " x " << c.tokens << " x " << c.width
                                    << " update " << c.update << " e4m3 " << c.e4m3);
    const Tensor x = values(1, {c.batch, c.tokens, c.width});
    const Tensor y = values(2, {c.batch, c.tokens, c.width});
    const Tensor mods = values(3, {c.batch, 3 * c.width}).mul(0.3);
    const Form form{.e4m3 = c.e4m3, .scale = c.e4m3 ? 0.021F : 1.0F};
    const Tensor device_x = on_gpu(x);
    const Tensor device_mods = on_gpu(mods);
    const auto part = [&](const Tensor& of, std::int64_t i) {
      return of.narrow(1, i * c.width, c.width);
    };
    GatedUpdate update;
    Tensor expected_x = x;
    if (c.update) {
      update = {part(device_mods, 2), on_gpu(y)};
      expected_x = reference::add_gated(x, part(mods, 2), y);
    }
    const Tensor out = add_gated_layer_norm_modulate(device_x, update, part(device_mods, 0),
                                                     part(device_mods, 1), form);
    const Tensor plain = reference::layer_norm_modulate(expected_x, part(mods, 0), part(mods, 1));
    EXPECT_EQ(test::max_abs(device_x.cpu(), expected_x), 0);
    expect_close(out, c.e4m3 ? reference::e4m3_codes(plain, form.scale, false) : plain, c.e4m3);
  }
}

TEST(CudaNormModulate, TakesViewsAndAddsAlone) {
  DITQ_NEEDS_GPU();
  const Tensor all = values(1, {2, 40, 256});
  const Tensor y = values(2, {2, 10, 256});
  const Tensor gate = values(3, {2, 256});
  const Tensor device_all = on_gpu(all);
  add_gated(device_all.narrow(1, 20, 10), on_gpu(gate), on_gpu(y));
  Tensor expected = all.clone();
  expected.narrow(1, 20, 10).copy_(reference::add_gated(all.narrow(1, 20, 10), gate, y));
  EXPECT_EQ(test::max_abs(device_all.cpu(), expected), 0);
}

TEST(CudaQkNormRope, AgreesWithItsReference) {
  DITQ_NEEDS_GPU();
  for (const test::RopeCase& c : test::kRopeCases) {
    SCOPED_TRACE(testing::Message() << c.batch << " x " << c.tokens << " x " << c.heads << " x "
                                    << c.head_dim << " text " << c.text);
    const Tensor qkv = values(1, {c.batch, c.tokens, 3, c.heads, c.head_dim});
    const Tensor weights = values(2, {4, c.head_dim});
    const Rope rope = make_rope(grid_positions(0, c.tokens, 1),
                                {c.head_dim / 4, c.head_dim / 2, c.head_dim / 4}, 10000);
    const Tensor device_qkv = on_gpu(qkv);
    const Tensor device_weights = on_gpu(weights);
    const Tensor before = device_qkv.clone();
    joint_norm_rope({.q = device_qkv.select(2, 0),
                     .k = device_qkv.select(2, 1),
                     .text_tokens = c.text,
                     .text_q = device_weights[0],
                     .text_k = device_weights[1],
                     .image_q = device_weights[2],
                     .image_k = device_weights[3]},
                    rope.to(kGpu));
    for (std::int64_t i = 0; i < 2; ++i) {
      const auto expected = [&](std::int64_t begin, std::int64_t count, std::int64_t weight) {
        return reference::rms_norm_rope(qkv.select(2, i).narrow(1, begin, count), weights[weight],
                                        rope.slice(begin, count));
      };
      const Tensor ours = device_qkv.select(2, i);
      if (c.text > 0) expect_close(ours.narrow(1, 0, c.text), expected(0, c.text, i), false);
      if (c.text == c.tokens) continue;
      expect_close(ours.narrow(1, c.text, c.tokens - c.text),
                   expected(c.text, c.tokens - c.text, 2 + i), false);
    }
    EXPECT_EQ(test::max_abs(device_qkv.select(2, 2).cpu(), before.select(2, 2).cpu()), 0);
  }
}

TEST(CudaQuantize, AgreesWithItsReference) {
  DITQ_NEEDS_GPU();
  for (const test::QuantizeCase& c : test::kQuantizeCases) {
    SCOPED_TRACE(testing::Message() << c.rows << " x " << c.columns << " gelu " << c.gelu);
    const Tensor x = values(1, {c.rows, c.x_stride}).narrow(1, 0, c.columns);
    const Tensor device_x = on_gpu(values(1, {c.rows, c.x_stride})).narrow(1, 0, c.columns);
    const Tensor out =
        empty({c.rows, c.out_stride}, at::kFloat8_e4m3fn, kGpu).narrow(1, 0, c.columns);
    quantize_into(device_x, 0.013F, c.gelu, out);
    const double share = differing(out, reference::e4m3_codes(x, 0.013F, c.gelu));
    // Without GELU both do the same arithmetic; with it, the exponentials differ in the last bit.
    EXPECT_LE(share, c.gelu ? 2e-3 : 0.0);
  }
}

TEST(CudaQuantize, SaturatesAndKeepsNaN) {
  DITQ_NEEDS_GPU();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const Tensor x = from_values(std::vector<float>{448, 449, 480, 1e30F, -500, kInfinity, -kInfinity,
                                                  std::numeric_limits<float>::quiet_NaN(), 0, -0.0F,
                                                  1e-3F, 0.0009F, -1e-9F, 17, 18, 19})
                       .to(at::kBFloat16)
                       .unsqueeze(0);
  const Tensor out = to_form(on_gpu(x), {.e4m3 = true, .scale = 1}).cpu();
  const Tensor expected = reference::e4m3_codes(x, 1, false);
  const auto* ours = static_cast<const std::uint8_t*>(out.const_data_ptr());
  const auto* theirs = static_cast<const std::uint8_t*>(expected.const_data_ptr());
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    EXPECT_EQ(ours[i] & (i == 7 ? 0x7F : 0xFF), theirs[i] & (i == 7 ? 0x7F : 0xFF)) << i;
  }
}

TEST(CudaAttention, AgreesWithTheDefinitionInF32) {
  DITQ_NEEDS_GPU();
  struct Case {
    std::int64_t batch, heads, queries, channels;
    bool causal;
  };
  for (const Case& c : {Case{1, 2, 320, 128, false}, Case{2, 3, 77, 64, true},
                        Case{1, 1, 33, 512, false}, Case{1, 24, 1000, 128, false}}) {
    const auto part = [&](std::uint64_t seed) {
      return values(seed, {c.batch, c.queries, c.heads, c.channels}).transpose(1, 2);
    };
    const Tensor q = part(1), k = part(2), v = part(3);
    const Tensor out = attention(on_gpu(q), on_gpu(k), on_gpu(v), {.causal = c.causal});
    const Tensor expected = reference::attention(q.to(at::kFloat), k.to(at::kFloat),
                                                 v.to(at::kFloat), {.causal = c.causal});
    // bf16 probabilities and outputs.
    EXPECT_GE(test::cosine(out.cpu(), expected), 0.99998) << c.queries << " " << c.channels;
  }
}

TEST(CudaUpload, KeepsEveryByte) {
  DITQ_NEEDS_GPU();
  for (const std::int64_t count : {1LL, 1000LL, 524288LL, 524289LL, 30000001LL}) {
    const Tensor x = values(5, {count});
    EXPECT_EQ(test::max_abs(on_gpu(x).cpu(), x), 0) << count;
  }
}

}  // namespace
}  // namespace ditq
