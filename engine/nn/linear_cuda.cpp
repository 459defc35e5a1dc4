// Linear on a GPU: cuBLASLt's bf16 and FP8 products.

#include "nn/linear_cuda.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "kernels/cuda_device.h"
#include "nn/linear_kernel.h"
#include "ops/activation.h"
#include "ops/quantize.h"
#include "tensor/create.h"

namespace ditq {
namespace {

/// One f32 on the device.
Tensor device_value(float value, at::Device device) {
  return filled({1}, value, at::kFloat, device);
}

/// [count] ones on the device, shared by all layers: they never change, so a longer one may replace them at any time.
Tensor ones(std::int64_t count, at::Device device) {
  constexpr std::int64_t kLeast = 1 << 16;
  // Never destroyed: CUDA is gone before static objects are.
  static auto* const shared = new Tensor;
  if (!shared->defined() || shared->size(0) < count || shared->device() != device) {
    *shared = filled({std::max(count, kLeast)}, 1, at::kFloat, device);
  }
  return *shared;
}

/// bf16 products of bf16 values. With an input scale these are decoded E4M3 values: FP8 on a GPU without FP8 products.
class CudaBf16Kernel : public Linear::Kernel {
 public:
  CudaBf16Kernel(const Tensor& weight, Tensor bias, float alpha = 1)
      : weight_(weight.contiguous()), bias_(std::move(bias)), alpha_(alpha) {}
  CudaBf16Kernel(const Tensor& codes, float weight_scale, float input_scale, Tensor bias)
      : weight_(codes.to(at::kBFloat16)),
        bias_(std::move(bias)),
        input_scale_(input_scale),
        alpha_(weight_scale * input_scale) {}

  void run(const Tensor& x, const Tensor& out, PostOp post_op) const override {
    const Tensor input = input_scale_ == 0 ? x : quantize_e4m3(x, input_scale_);
    GemmProblem problem = gemm_problem(input, weight_, bias_, out);
    problem.alpha = alpha_;
    run_bf16_gemm(problem, post_op == PostOp::gelu_tanh, out);
  }
  std::int64_t out_features() const override { return weight_.size(0); }
  LayerRecord describe() const override {
    const bool emulated = input_scale_ != 0;
    return {.scheme = emulated ? "fp8" : "bf16",
            .arithmetic =
                emulated ? "emulated: E4M3 values in bf16 products with f32 accumulation" : "real",
            .memory = weight_.nbytes()};
  }
  float input_scale() const override { return input_scale_; }
  LinearKernel with_input_scale(float scale) const override {
    auto out = std::make_unique<CudaBf16Kernel>(*this);
    out->alpha_ = alpha_ / input_scale_ * scale;
    out->input_scale_ = scale;
    return out;
  }
  LinearKernel merged(const std::vector<const Kernel*>& all) const override {
    std::vector<Tensor> weights;
    std::vector<Tensor> biases;
    std::vector<std::int64_t> sizes;
    for (const Kernel* kernel : all) {
      const auto* other = dynamic_cast<const CudaBf16Kernel*>(kernel);
      if (other == nullptr || other->input_scale_ != 0 || other->alpha_ != 1) return nullptr;
      weights.push_back(other->weight_);
      biases.push_back(other->bias_);
      sizes.push_back(other->out_features());
    }
    return std::make_unique<CudaBf16Kernel>(joined(weights, 0), joined_bias(biases, sizes));
  }

 private:
  Tensor weight_;
  Tensor bias_;
  float input_scale_ = 0;
  float alpha_ = 1;
};

/// E4M3 products with f32 accumulation, scales and bias in the epilogue.
class CudaFp8Kernel : public Linear::Kernel {
 public:
  CudaFp8Kernel(const Tensor& codes, float weight_scale, float input_scale, Tensor bias)
      : codes_(codes.contiguous()),
        bias_(std::move(bias)),
        weight_scale_(device_value(weight_scale, codes.device())),
        input_scale_(device_value(input_scale, codes.device())),
        host_weight_scale_(weight_scale),
        form_{.e4m3 = true,
              .scale = input_scale,
              .inverse = device_value(1.0F / input_scale, codes.device())} {}

  void run(const Tensor& x, const Tensor& out, PostOp post_op) const override {
    cuda().gemm(problem(to_form(x, form_), out));
    if (post_op == PostOp::gelu_tanh) out.copy_(gelu_tanh(out));
  }
  void run_quantized(const Tensor& x,
                     const Tensor& out,
                     PostOp post_op,
                     const Form& next) const override {
    if (!next.inverse.defined()) return Kernel::run_quantized(x, out, post_op, next);
    GemmProblem fused = problem(to_form(x, form_), out);
    fused.gelu = post_op == PostOp::gelu_tanh;
    fused.out_scale = next.inverse.const_data_ptr<float>();
    // The library clamps at 448 when it writes E4M3, as the definition does; NaN stays NaN (tests/cuda/linear_test.cpp).
    if (!cuda().why_not(fused).empty()) return Kernel::run_quantized(x, out, post_op, next);
    cuda().gemm(fused);
  }
  std::int64_t out_features() const override { return codes_.size(0); }
  Form form() const override { return form_; }
  LayerRecord describe() const override {
    return {.scheme = "fp8", .arithmetic = "real", .memory = codes_.nbytes()};
  }
  LinearKernel merged(const std::vector<const Kernel*>& all) const override;
  float input_scale() const override { return form_.scale; }
  LinearKernel with_input_scale(float scale) const override {
    return std::make_unique<CudaFp8Kernel>(codes_, host_weight_scale_, scale, bias_);
  }

 private:
  GemmProblem problem(const Tensor& x, const Tensor& out) const {
    GemmProblem made = gemm_problem(x, codes_, bias_, out);
    made.row_scales = row_scales_;
    made.weight_scale = weight_scale_.const_data_ptr<float>();
    made.input_scale = row_scales_ ? ones(made.m, x.device()).const_data_ptr<float>()
                                   : input_scale_.const_data_ptr<float>();
    return made;
  }

  Tensor codes_;
  Tensor bias_;
  Tensor
      weight_scale_;  ///< [1], or with row_scales_ weight scale times input scale of every row, [N]
  Tensor input_scale_;  ///< [1]
  float host_weight_scale_ = 1;
  bool row_scales_ = false;
  Form form_;
};

LinearKernel CudaFp8Kernel::merged(const std::vector<const Kernel*>& all) const {
  std::vector<Tensor> codes;
  std::vector<Tensor> biases;
  std::vector<Tensor> scales;
  std::vector<std::int64_t> sizes;
  bool one_scale = true;
  for (const Kernel* kernel : all) {
    const auto* other = dynamic_cast<const CudaFp8Kernel*>(kernel);
    if (other == nullptr || other->row_scales_ || !(other->form_ == form_)) return nullptr;
    one_scale = one_scale && other->host_weight_scale_ == host_weight_scale_;
    codes.push_back(other->codes_);
    biases.push_back(other->bias_);
    sizes.push_back(other->out_features());
    scales.push_back(filled({other->out_features()}, other->host_weight_scale_ * form_.scale,
                            at::kFloat, codes_.device()));
  }
  // Scales of rows are a feature of Hopper alone.
  const CudaDeviceInfo& device = cuda().info();
  if (!one_scale && (device.major != 9 || device.minor != 0)) return nullptr;
  auto out = std::make_unique<CudaFp8Kernel>(joined(codes, 0), host_weight_scale_, form_.scale,
                                             joined_bias(biases, sizes));
  if (one_scale) return out;
  out->row_scales_ = true;
  out->weight_scale_ = joined(scales, 0);
  // Whether the library takes the shape is asked once, with operands of the right kind.
  const Tensor x = empty({16, codes_.size(1)}, at::kFloat8_e4m3fn, codes_.device());
  const Tensor y = empty({16, out->out_features()}, at::kBFloat16, codes_.device());
  return cuda().why_not(out->problem(x, y)).empty() ? std::move(out) : nullptr;
}

/// FP8 in an f32 run: the definition itself, on f32 values.
class CudaWideFp8Kernel : public Linear::Kernel {
 public:
  CudaWideFp8Kernel(const Tensor& codes, float weight_scale, float input_scale, const Tensor& bias)
      : weight_(codes.to(at::kFloat)),
        epilogue_{.weight_scale = weight_scale, .input_scale = input_scale, .bias = bias} {}

  void run(const Tensor& x, const Tensor& out, PostOp post_op) const override {
    const Tensor values = quantize_e4m3(x, epilogue_.input_scale);
    out.copy_(reference::gemm(values, weight_, with(epilogue_, post_op), out.scalar_type()));
  }
  std::int64_t out_features() const override { return weight_.size(0); }
  LayerRecord describe() const override {
    return {.scheme = "fp8",
            .arithmetic = "emulated: E4M3 values in f32 products",
            .memory = weight_.nbytes()};
  }

 private:
  Tensor weight_;
  GemmEpilogue epilogue_;
};

}  // namespace

Tensor joined_bias(const std::vector<Tensor>& biases, const std::vector<std::int64_t>& sizes) {
  std::vector<Tensor> parts;
  const auto known =
      std::find_if(biases.begin(), biases.end(), [](const Tensor& b) { return b.defined(); });
  if (known == biases.end()) return {};
  for (std::size_t i = 0; i < biases.size(); ++i) {
    parts.push_back(biases[i].defined()
                        ? biases[i]
                        : filled({sizes[i]}, 0, known->scalar_type(), known->device()));
  }
  return joined(parts, 0);
}

GemmProblem gemm_problem(const Tensor& x,
                         const Tensor& weight,
                         const Tensor& bias,
                         const Tensor& out) {
  DITQ_ASSERT(x.dim() == 2 && out.dim() == 2 && x.stride(1) == 1 && out.stride(1) == 1);
  const auto type = [](const Tensor& t) {
    return t.scalar_type() == at::kFloat8_e4m3fn ? GemmType::e4m3 : GemmType::bf16;
  };
  // The stride of a single row means nothing.
  const auto stride = [](const Tensor& t) { return t.size(0) == 1 ? t.size(1) : t.stride(0); };
  return {.m = x.size(0),
          .n = weight.size(0),
          .k = weight.size(1),
          .type = type(weight),
          .x = x.const_data_ptr(),
          .x_stride = stride(x),
          .weight = weight.const_data_ptr(),
          .bias = bias.defined() ? bias.const_data_ptr() : nullptr,
          .out = out.data_ptr(),
          .out_stride = stride(out),
          .out_type = type(out)};
}

void run_bf16_gemm(GemmProblem problem, bool gelu, const Tensor& out) {
  problem.gelu = gelu;
  if (!gelu || cuda().why_not(problem).empty()) return cuda().gemm(problem);
  problem.gelu = false;
  cuda().gemm(problem);
  out.copy_(gelu_tanh(out));
}

LinearKernel cuda_bf16_kernel(const Tensor& weight, const Tensor& bias) {
  return std::make_unique<CudaBf16Kernel>(weight, bias);
}

LinearKernel cuda_fp8_kernel(const Tensor& codes,
                             float weight_scale,
                             float input_scale,
                             const Tensor& bias,
                             at::ScalarType dtype) {
  if (dtype != at::kBFloat16) {
    return std::make_unique<CudaWideFp8Kernel>(codes, weight_scale, input_scale, bias);
  }
  const CudaDeviceInfo& device = cuda().info();
  const bool has_products = device.major * 10 + device.minor >= 89;
  if (has_products && codes.size(0) % 16 == 0 && codes.size(1) % 16 == 0) {
    return std::make_unique<CudaFp8Kernel>(codes, weight_scale, input_scale, bias);
  }
  return std::make_unique<CudaBf16Kernel>(codes, weight_scale, input_scale, bias);
}

}  // namespace ditq
