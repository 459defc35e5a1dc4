// Linear layers on a GPU against the definition on the CPU.

#include <gtest/gtest.h>

#include "cuda/environment.h"
#include "nn/linear_kernel.h"
#include "ops/quantize.h"
#include "support/cuda_cases.h"
#include "support/tensors.h"

namespace ditq {
namespace {

using test::kGpu;
using test::on_gpu;
using test::values;

struct Layer {
  Tensor weight, codes, bias;
  float weight_scale = 0.00173F, input_scale = 0.0213F;

  explicit Layer(const test::LinearCase& c, std::uint64_t seed = 1)
      : weight(normal(seed, {c.n, c.k}, at::kFloat).mul(0.03).to(at::kBFloat16)),
        codes(weight.to(at::kFloat).div(weight_scale).clamp(-448, 448).to(at::kFloat8_e4m3fn)),
        bias(values(seed + 1, {c.n})) {}

  GemmEpilogue epilogue(PostOp post_op) const {
    return {.weight_scale = weight_scale,
            .input_scale = input_scale,
            .bias = bias.to(at::kFloat),
            .post_op = post_op};
  }
};

/// The tests' cases; those of full size take the CPU too long.
std::vector<test::LinearCase> small_cases() {
  std::vector<test::LinearCase> out;
  for (const test::LinearCase& c : test::kLinearCases) {
    if (!c.timed || c.m * c.n * c.k < (std::int64_t{6} << 30)) out.push_back(c);
  }
  return out;
}

TEST(CudaLinear, Bf16AgreesWithTheDefinition) {
  DITQ_NEEDS_GPU();
  for (const test::LinearCase& c : small_cases()) {
    const Layer layer(c);
    const Tensor x = values(7, {c.m, c.k});
    const auto kernel = cuda_bf16_kernel(on_gpu(layer.weight), on_gpu(layer.bias));
    for (const PostOp post_op : {PostOp::none, PostOp::gelu_tanh}) {
      SCOPED_TRACE(testing::Message() << c.m << " x " << c.n << " x " << c.k);
      const Tensor out = empty({c.m, c.n}, at::kBFloat16, kGpu);
      kernel->run(on_gpu(x), out, post_op);
      const Tensor expected = reference::gemm(
          x, layer.weight, {.bias = layer.bias.to(at::kFloat), .post_op = post_op}, at::kBFloat16);
      EXPECT_GE(test::cosine(out.cpu(), expected), 0.99999);
      EXPECT_LE(test::relative(out.cpu(), expected), 0.01);
    }
  }
}

TEST(CudaLinear, Fp8AgreesWithTheDefinition) {
  DITQ_NEEDS_GPU();
  for (const test::LinearCase& c : small_cases()) {
    const Layer layer(c);
    const Tensor x = values(7, {c.m, c.k});
    const auto kernel = cuda_fp8_kernel(on_gpu(layer.codes), layer.weight_scale, layer.input_scale,
                                        on_gpu(layer.bias), at::kBFloat16);
    for (const PostOp post_op : {PostOp::none, PostOp::gelu_tanh}) {
      SCOPED_TRACE(testing::Message()
                   << c.m << " x " << c.n << " x " << c.k << " " << kernel->describe().arithmetic);
      const Tensor out = empty({c.m, c.n}, at::kBFloat16, kGpu);
      kernel->run(on_gpu(x), out, post_op);
      const Tensor expected =
          reference::gemm(reference::quantize_e4m3(x, layer.input_scale),
                          layer.codes.to(at::kBFloat16), layer.epilogue(post_op), at::kBFloat16);
      EXPECT_GE(test::cosine(out.cpu(), expected), 0.99999);
      EXPECT_LE(test::relative(out.cpu(), expected), 0.01);
      if (c.k % 16 != 0 || c.n % 16 != 0) continue;
      const Form next{
          .e4m3 = true, .scale = 0.017F, .inverse = filled({1}, 1 / 0.017, at::kFloat, kGpu)};
      const Tensor codes = empty({c.m, c.n}, at::kFloat8_e4m3fn, kGpu);
      kernel->run_quantized(on_gpu(x), codes, post_op, next);
      const Tensor values_out = codes.cpu().to(at::kFloat).mul(next.scale);
      const Tensor limited = expected.to(at::kFloat).clamp(-448 * next.scale, 448 * next.scale);
      // E4M3 keeps four significant bits.
      EXPECT_GE(test::cosine(values_out, limited), 0.9990);
    }
  }
}

TEST(CudaLinear, MergedLayersKeepTheirScales) {
  DITQ_NEEDS_GPU();
  const test::LinearCase c{40, 256, 512};
  std::vector<Layer> layers{Layer(c, 1), Layer(c, 11), Layer(c, 21)};
  layers[1].weight_scale *= 3;
  layers[2].weight_scale *= 0.2F;
  const Tensor x = values(7, {c.m, c.k});
  std::vector<LinearKernel> kernels;
  std::vector<const Linear::Kernel*> all;
  for (const Layer& layer : layers) {
    kernels.push_back(cuda_fp8_kernel(on_gpu(layer.codes), layer.weight_scale, layer.input_scale,
                                      on_gpu(layer.bias), at::kBFloat16));
    all.push_back(kernels.back().get());
  }
  const auto merged = kernels.front()->merged(all);
  if (merged == nullptr) GTEST_SKIP() << "this GPU has no scales of rows";
  const Tensor out = empty({c.m, 3 * c.n}, at::kBFloat16, kGpu);
  merged->run(on_gpu(x), out, PostOp::none);
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const Tensor expected = reference::gemm(reference::quantize_e4m3(x, layers[i].input_scale),
                                            layers[i].codes.to(at::kBFloat16),
                                            layers[i].epilogue(PostOp::none), at::kBFloat16);
    const Tensor part = out.narrow(1, static_cast<std::int64_t>(i) * c.n, c.n).cpu();
    EXPECT_GE(test::cosine(part, expected), 0.99999) << i;
    EXPECT_LE(test::relative(part, expected), 0.01) << i;
  }
}

}  // namespace
}  // namespace ditq
