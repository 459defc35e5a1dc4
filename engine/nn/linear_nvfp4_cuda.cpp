// NVFP4 layers on a GPU without FP4 units: weights stay packed, a product expands them in front of it.

#include <utility>

#include "base/error.h"
#include "nn/linear_cuda.h"
#include "nn/linear_kernel.h"
#include "ops/activation.h"
#include "ops/nvfp4.h"
#include "tensor/create.h"

namespace ditq {
namespace {

class CudaNvfp4Kernel : public Linear::Kernel {
 public:
  CudaNvfp4Kernel(Tensor codes,
                  Tensor block_scales,
                  float weight_scale_2,
                  float input_scale,
                  bool lacks_input_scale,
                  Tensor bias)
      : codes_(std::move(codes)),
        block_scales_(std::move(block_scales)),
        bias_(std::move(bias)),
        weight_scale_2_(weight_scale_2),
        input_scale_(input_scale),
        lacks_input_scale_(lacks_input_scale) {}

  void run(const Tensor& x, const Tensor& out, PostOp post_op) const override {
    const Tensor weight = dequantize_nvfp4(codes_, block_scales_);
    const bool gelu = post_op == PostOp::gelu_tanh;
    if (input_scale_ == 0) {
      GemmProblem problem = gemm_problem(x, weight, bias_, out);
      problem.alpha = weight_scale_2_;
      return run_bf16_gemm(problem, gelu, out);
    }
    // The sum is rounded before the bias joins it, as on the CPU and in SGLang.
    const Tensor values = quantize_nvfp4(x, input_scale_);
    GemmProblem problem = gemm_problem(values, weight, {}, out);
    problem.alpha = input_scale_ * weight_scale_2_;
    cuda().gemm(problem);
    if (bias_.defined()) out.add_(bias_);
    if (gelu) out.copy_(gelu_tanh(out));
  }
  std::int64_t out_features() const override { return codes_.size(0); }
  LayerRecord describe() const override {
    const bool fp4 = input_scale_ != 0;
    return {
        .scheme = "nvfp4",
        .arithmetic = fp4 ? "emulated: E2M1 x E4M3 values in bf16 products with f32 accumulation"
                          : "emulated: E2M1 x E4M3 weights in bf16 products with f32 accumulation",
        .activations = fp4 ? "fp4" : "",
        .lacks_input_scale = lacks_input_scale_,
        .memory = codes_.nbytes() + block_scales_.nbytes()};
  }
  LinearKernel merged(const std::vector<const Kernel*>& all) const override;

 private:
  Tensor codes_;         ///< [N, K / 2]
  Tensor block_scales_;  ///< [N, K / 16] E4M3
  Tensor bias_;
  float weight_scale_2_;
  float input_scale_;
  bool lacks_input_scale_;
};

/// A product has one factor: layers of one input are merged where ModelOpt gave them the same scales, as its exports
/// do.
LinearKernel CudaNvfp4Kernel::merged(const std::vector<const Kernel*>& all) const {
  std::vector<Tensor> codes;
  std::vector<Tensor> block_scales;
  std::vector<Tensor> biases;
  std::vector<std::int64_t> sizes;
  for (const Kernel* kernel : all) {
    const auto* other = dynamic_cast<const CudaNvfp4Kernel*>(kernel);
    if (other == nullptr || other->weight_scale_2_ != weight_scale_2_ ||
        other->input_scale_ != input_scale_) {
      return nullptr;
    }
    codes.push_back(other->codes_);
    block_scales.push_back(other->block_scales_);
    biases.push_back(other->bias_);
    sizes.push_back(other->out_features());
  }
  return std::make_unique<CudaNvfp4Kernel>(joined(codes, 0), joined(block_scales, 0),
                                           weight_scale_2_, input_scale_, lacks_input_scale_,
                                           joined_bias(biases, sizes));
}

}  // namespace

LinearKernel cuda_nvfp4_kernel(const Tensor& codes,
                               const Tensor& block_scales,
                               float weight_scale_2,
                               float input_scale,
                               bool lacks_input_scale,
                               const Tensor& bias) {
  return std::make_unique<CudaNvfp4Kernel>(codes, block_scales, weight_scale_2, input_scale,
                                           lacks_input_scale, bias);
}

}  // namespace ditq
