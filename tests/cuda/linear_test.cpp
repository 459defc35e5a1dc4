// Linear layers on a GPU against the definition on the CPU.

#include <algorithm>
#include <cstdint>
#include <string>

#include <gtest/gtest.h>

#include "base/error.h"
#include "cuda/environment.h"
#include "nn/linear_cuda.h"
#include "nn/linear_kernel.h"
#include "ops/gemm_operands.h"
#include "ops/nvfp4.h"
#include "ops/quantize.h"
#include "support/cuda_cases.h"
#include "support/random_nvfp4.h"
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

/// Rows of a full-size product, which the CPU can afford.
Tensor some_rows(const Tensor& x) {
  return joined({x.narrow(0, 0, 9), x.narrow(0, x.size(0) / 2, 8), x.narrow(0, x.size(0) - 9, 9)},
                0);
}

TEST(CudaLinear, FullSizeProductsAgreeWithTheDefinition) {
  DITQ_NEEDS_GPU();
  const Form next{
      .e4m3 = true, .scale = 0.017F, .inverse = filled({1}, 1 / 0.017, at::kFloat, kGpu)};
  for (const test::LinearCase& c : test::kLinearCases) {
    if (!c.timed) continue;
    const Layer layer(c);
    const Tensor x = values(7, {c.m, c.k});
    const Tensor rows = some_rows(x);
    const Tensor on_device = on_gpu(x);
    const auto bf16 = cuda_bf16_kernel(on_gpu(layer.weight), on_gpu(layer.bias));
    const auto fp8 = cuda_fp8_kernel(on_gpu(layer.codes), layer.weight_scale, layer.input_scale,
                                     on_gpu(layer.bias), at::kBFloat16);
    const Tensor out = empty({c.m, c.n}, at::kBFloat16, kGpu);
    const Tensor codes = empty({c.m, c.n}, at::kFloat8_e4m3fn, kGpu);
    for (const PostOp post_op : {PostOp::none, PostOp::gelu_tanh}) {
      SCOPED_TRACE(testing::Message() << c.m << " x " << c.n << " x " << c.k);
      bf16->run(on_device, out, post_op);
      const Tensor expected =
          reference::gemm(rows, layer.weight,
                          {.bias = layer.bias.to(at::kFloat), .post_op = post_op}, at::kBFloat16);
      EXPECT_GE(test::cosine(some_rows(out).cpu(), expected), 0.99999);

      const Tensor values_out =
          reference::gemm(reference::quantize_e4m3(rows, layer.input_scale),
                          layer.codes.to(at::kBFloat16), layer.epilogue(post_op), at::kBFloat16);
      const Tensor limited = values_out.to(at::kFloat).clamp(-448 * next.scale, 448 * next.scale);
      for (const bool fast : {false, true}) {
        cuda().use_fast_accumulation(fast);
        fp8->run_quantized(on_device, codes, post_op, next);
        const Tensor ours = some_rows(codes.view(at::kByte)).cpu().view(at::kFloat8_e4m3fn);
        EXPECT_GE(test::cosine(ours.to(at::kFloat), limited), 0.9990) << "fast " << fast;
      }
      cuda().use_fast_accumulation(false);
    }
  }
}

TEST(CudaLinear, CountsProductsAndMakesOperandsOfTheirKind) {
  DITQ_NEEDS_GPU();
  const Layer layer({96, 64, 128});
  const auto bf16 = cuda_bf16_kernel(on_gpu(layer.weight), on_gpu(layer.bias));
  const Tensor x = on_gpu(values(7, {96, 128}));
  // Rows beside others: their step and the address of the first belong to the product.
  const Tensor wide = empty({96, 72}, at::kBFloat16, kGpu);
  const auto uses = cuda().products_of([&] {
    bf16->run(x, wide.narrow(1, 8, 64), PostOp::none);
    bf16->run(x.narrow(0, 0, 95), wide.narrow(0, 0, 95).narrow(1, 8, 64), PostOp::none);
    bf16->run(x, wide.narrow(1, 8, 64), PostOp::none);
  });
  bf16->run(x, wide.narrow(1, 8, 64), PostOp::none);
  ASSERT_EQ(uses.size(), 2U);
  EXPECT_EQ(uses[0].launches, 2);
  EXPECT_EQ(uses[1].launches, 1);
  EXPECT_EQ(uses[1].problem.m, 95);
  const GemmOperands operands(uses[0].problem, kGpu);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(operands.problem().out) % 256,
            reinterpret_cast<std::uintptr_t>(uses[0].problem.out) % 256);
  const auto again = cuda().products_of([&] { cuda().gemm(operands.problem()); });
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].problem.out_stride, 72);
}

TEST(CudaLinear, ASearchedKernelIsReadBackAndABrokenOneRefused) {
  DITQ_NEEDS_GPU();
  const Layer layer({512, 768, 256});
  const auto bf16 = cuda_bf16_kernel(on_gpu(layer.weight), on_gpu(layer.bias));
  const Tensor x = on_gpu(values(7, {512, 256}));
  const Tensor out = empty({512, 768}, at::kBFloat16, kGpu);
  const auto run = [&] { bf16->run(x, out, PostOp::none); };
  const auto uses = cuda().products_of(run);
  ASSERT_EQ(uses.size(), 1U);
  const Tensor before = out.cpu().clone();
  const GemmOperands operands(uses[0].problem, kGpu);
  const GemmSearch search = cuda().tune(operands.problem());
  ASSERT_FALSE(search.finalists.empty());
  EXPECT_TRUE(std::ranges::is_sorted(search.finalists, {}, &GemmCandidate::milliseconds));
  EXPECT_EQ(std::ranges::count_if(search.finalists, &GemmCandidate::is_first), 1);
  EXPECT_EQ(cuda().read_gemm_table(search.table_line, "kernels.txt"), 1);
  EXPECT_EQ(cuda().read_gemm_table("another device|1|" + search.table_line, "kernels.txt"), 0);
  run();
  EXPECT_GE(test::cosine(out.cpu(), before), 0.999999);

  // A kernel that does not exist, for a product that has no plan as yet.
  std::string broken = search.table_line;
  const std::size_t rows = broken.find("|m512 ");
  ASSERT_NE(rows, std::string::npos) << broken;
  broken.replace(rows, 6, "|m511 ");
  broken.replace(broken.rfind('|') + 1, 128, std::string(128, 'f'));
  EXPECT_EQ(cuda().read_gemm_table(broken, "kernels.txt"), 1);
  try {
    bf16->run(x.narrow(0, 0, 511), out.narrow(0, 0, 511), PostOp::none);
    FAIL() << "a kernel that does not exist has run";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::bad_kernel_table) << error.what();
    EXPECT_NE(std::string(error.what()).find("kernels.txt"), std::string::npos) << error.what();
  }
}

/// An NVFP4 layer's weight on the GPU, and what it stands for.
struct Nvfp4Layer {
  test::RandomWeight weight;
  Tensor bias;
  float weight_scale_2 = 0.00031F, input_scale = 0.0123F;

  Nvfp4Layer(const test::LinearCase& c, std::uint32_t seed)
      : weight(seed, c.n, c.k), bias(values(seed, {c.n})) {}

  LinearKernel kernel(bool fp4) const {
    return cuda_nvfp4_kernel(on_gpu(weight.codes), on_gpu(weight.scales), weight_scale_2,
                             fp4 ? input_scale : 0, /*lacks_input_scale=*/false, on_gpu(bias));
  }
};

std::vector<test::LinearCase> nvfp4_cases() {
  std::vector<test::LinearCase> out;
  for (const test::LinearCase& c : small_cases()) {
    if (c.k % 16 == 0) out.push_back(c);
  }
  return out;
}

TEST(CudaNvfp4, ExpandsWeightsExactly) {
  DITQ_NEEDS_GPU();
  for (const auto& [n, k] : {std::pair<std::int64_t, std::int64_t>{1, 16}, {65, 48}, {512, 3072}}) {
    const test::RandomWeight weight(static_cast<std::uint32_t>(n), n, k);
    const Tensor ours = dequantize_nvfp4(on_gpu(weight.codes), on_gpu(weight.scales));
    EXPECT_EQ(test::max_abs(ours.cpu(), weight.values), 0) << n << " x " << k;
  }
}

TEST(CudaNvfp4, QuantizesActivationsAsTheCpuDoes) {
  DITQ_NEEDS_GPU();
  for (const auto& [m, k] : {std::pair<std::int64_t, std::int64_t>{1, 16}, {7, 4112}, {320, 256}}) {
    Tensor x = values(3, {m, k});
    x[0].narrow(0, 0, 4).copy_(from_values(std::vector<float>{0, -0.0F, 3e4F, -1e-20F}));
    EXPECT_EQ(test::max_abs(quantize_nvfp4(on_gpu(x), 0.0123F).cpu(), quantize_nvfp4(x, 0.0123F)),
              0)
        << m << " x " << k;
  }
}

TEST(CudaNvfp4, ProductIsThatOfTheExpandedWeightBitForBit) {
  DITQ_NEEDS_GPU();
  for (const test::LinearCase& c : nvfp4_cases()) {
    SCOPED_TRACE(testing::Message() << c.m << " x " << c.n << " x " << c.k);
    const Nvfp4Layer layer(c, 5);
    const Tensor x = on_gpu(values(7, {c.m, c.k}));
    const Tensor ours = empty({c.m, c.n}, at::kBFloat16, kGpu);
    layer.kernel(/*fp4=*/false)->run(x, ours, PostOp::none);
    const Tensor expanded = on_gpu(layer.weight.values.to(at::kBFloat16));
    const Tensor bias = on_gpu(layer.bias);
    const Tensor expected = empty({c.m, c.n}, at::kBFloat16, kGpu);
    GemmProblem problem = gemm_problem(x, expanded, bias, expected);
    problem.alpha = layer.weight_scale_2;
    cuda().gemm(problem);
    EXPECT_EQ(test::max_abs(ours.cpu(), expected.cpu()), 0);
  }
}

TEST(CudaNvfp4, AgreesWithTheDefinition) {
  DITQ_NEEDS_GPU();
  for (const test::LinearCase& c : nvfp4_cases()) {
    const Nvfp4Layer layer(c, 5);
    const Tensor x = values(7, {c.m, c.k});
    for (const bool fp4 : {false, true}) {
      for (const PostOp post_op : {PostOp::none, PostOp::gelu_tanh}) {
        SCOPED_TRACE(testing::Message() << c.m << " x " << c.n << " x " << c.k << " fp4 " << fp4);
        const Tensor out = empty({c.m, c.n}, at::kBFloat16, kGpu);
        layer.kernel(fp4)->run(on_gpu(x), out, post_op);
        const Tensor input = fp4 ? reference::quantize_nvfp4(x, layer.input_scale) : x;
        const Tensor expected =
            reference::gemm(input, layer.weight.values.to(at::kBFloat16),
                            {.weight_scale = layer.weight_scale_2 * (fp4 ? layer.input_scale : 1),
                             .bias = layer.bias.to(at::kFloat),
                             .bias_after_rounding = fp4,
                             .post_op = post_op},
                            at::kBFloat16);
        EXPECT_GE(test::cosine(out.cpu(), expected), 0.99999);
        EXPECT_LE(test::relative(out.cpu(), expected), 0.01);
      }
    }
  }
}

TEST(CudaNvfp4, MergesLayersOfOneScaleOnly) {
  DITQ_NEEDS_GPU();
  const test::LinearCase c{40, 256, 512};
  std::vector<Nvfp4Layer> layers{{c, 1}, {c, 2}, {c, 3}};
  const auto merge = [&] {
    std::vector<LinearKernel> kernels;
    std::vector<const Linear::Kernel*> all;
    for (const Nvfp4Layer& layer : layers) {
      kernels.push_back(layer.kernel(false));
      all.push_back(kernels.back().get());
    }
    return kernels.front()->merged(all);
  };
  const auto merged = merge();
  ASSERT_NE(merged, nullptr);
  const Tensor x = on_gpu(values(7, {c.m, c.k}));
  const Tensor out = empty({c.m, 3 * c.n}, at::kBFloat16, kGpu);
  merged->run(x, out, PostOp::none);
  for (std::int64_t i = 0; i < 3; ++i) {
    const Tensor alone = empty({c.m, c.n}, at::kBFloat16, kGpu);
    layers[static_cast<std::size_t>(i)].kernel(false)->run(x, alone, PostOp::none);
    // Another tile of the library's may sum in another order.
    EXPECT_GE(test::cosine(out.narrow(1, i * c.n, c.n).cpu(), alone.cpu()), 0.99999) << i;
  }
  layers[1].weight_scale_2 *= 2;
  EXPECT_EQ(merge(), nullptr);
}

TEST(CudaLinear, TakesAnotherScaleOfItsInput) {
  DITQ_NEEDS_GPU();
  const test::LinearCase c{40, 256, 512};
  const Layer layer(c);
  const Tensor x = values(7, {c.m, c.k});
  const auto kernel = cuda_fp8_kernel(on_gpu(layer.codes), layer.weight_scale, layer.input_scale,
                                      on_gpu(layer.bias), at::kBFloat16);
  Layer other = layer;
  other.input_scale = 0.05F;
  const Tensor out = empty({c.m, c.n}, at::kBFloat16, kGpu);
  kernel->with_input_scale(other.input_scale)->run(on_gpu(x), out, PostOp::none);
  const Tensor expected =
      reference::gemm(reference::quantize_e4m3(x, other.input_scale), other.codes.to(at::kBFloat16),
                      other.epilogue(PostOp::none), at::kBFloat16);
  EXPECT_GE(test::cosine(out.cpu(), expected), 0.99999);
  EXPECT_LE(test::relative(out.cpu(), expected), 0.01);
}

/// Three layers of one input, each with a scale of its own, as one product; no kernel where the GPU has no scales of rows.
struct ThreeLayers {
  std::vector<Layer> layers;
  LinearKernel merged;

  explicit ThreeLayers(const test::LinearCase& c)
      : layers{Layer(c, 1), Layer(c, 11), Layer(c, 21)} {
    layers[1].weight_scale *= 3;
    layers[2].weight_scale *= 0.2F;
    std::vector<LinearKernel> kernels;
    std::vector<const Linear::Kernel*> all;
    for (const Layer& layer : layers) {
      kernels.push_back(cuda_fp8_kernel(on_gpu(layer.codes), layer.weight_scale, layer.input_scale,
                                        on_gpu(layer.bias), at::kBFloat16));
      all.push_back(kernels.back().get());
    }
    merged = kernels.front()->merged(all);
  }

  /// Outputs [M, 3 N] of rows of the input against the definition.
  void expect_agreement(const Tensor& rows, const Tensor& out, double relative) const {
    const std::int64_t n = out.size(1) / 3;
    for (std::size_t i = 0; i < layers.size(); ++i) {
      const Tensor expected = reference::gemm(reference::quantize_e4m3(rows, layers[i].input_scale),
                                              layers[i].codes.to(at::kBFloat16),
                                              layers[i].epilogue(PostOp::none), at::kBFloat16);
      const Tensor part = out.narrow(1, static_cast<std::int64_t>(i) * n, n);
      EXPECT_GE(test::cosine(part, expected), 0.99999) << i;
      EXPECT_LE(test::relative(part, expected), relative) << i;
    }
  }
};

TEST(CudaLinear, MergedLayersKeepTheirScales) {
  DITQ_NEEDS_GPU();
  const test::LinearCase c{40, 256, 512};
  const ThreeLayers three(c);
  if (!test::is_hopper()) GTEST_SKIP() << "this GPU has no scales of rows";
  ASSERT_NE(three.merged, nullptr);
  const Tensor x = values(7, {c.m, c.k});
  const Tensor out = empty({c.m, 3 * c.n}, at::kBFloat16, kGpu);
  three.merged->run(on_gpu(x), out, PostOp::none);
  three.expect_agreement(x, out.cpu(), 0.01);
}

TEST(CudaLinear, FullSizeMergedProductsAgreeWithTheDefinition) {
  DITQ_NEEDS_GPU();
  const test::LinearCase c{4097, 3072, 3072};
  const ThreeLayers three(c);
  if (!test::is_hopper()) GTEST_SKIP() << "this GPU has no scales of rows";
  ASSERT_NE(three.merged, nullptr);
  const Tensor x = values(7, {c.m, c.k});
  const Tensor out = empty({c.m, 3 * c.n}, at::kBFloat16, kGpu);
  for (const bool fast : {false, true}) {
    SCOPED_TRACE(testing::Message() << "fast " << fast);
    cuda().use_fast_accumulation(fast);
    three.merged->run(on_gpu(x), out, PostOp::none);
    three.expect_agreement(some_rows(x), some_rows(out).cpu(), fast ? 0.05 : 0.01);
  }
  cuda().use_fast_accumulation(false);
}

}  // namespace
}  // namespace ditq
