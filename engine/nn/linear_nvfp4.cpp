// NVFP4 layers: E2M1 codes in blocks of 16, one E4M3 scale a block, one f32 scale a tensor.

#include <algorithm>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "nn/linear_kernel.h"
#include "ops/nvfp4.h"
#include "quant/nvfp4.h"

namespace ditq {
namespace {

constexpr auto kBlock = static_cast<std::int64_t>(kNvfp4Block);

/// Activations quantized per block (SGLang bridge 4.8): the sum is rounded before the bias joins it, as SGLang does.
class Nvfp4Kernel : public Linear::Kernel {
 public:
  Nvfp4Kernel(Nvfp4Weight weight, float weight_scale_2, float input_scale, const Tensor& bias)
      : weight_(std::move(weight)), input_scale_(input_scale) {
    epilogue_.weight_scale = input_scale * weight_scale_2;
    epilogue_.bias_after_rounding = true;
    if (bias.defined()) epilogue_.bias = bias.to(at::kFloat);
  }

  void run(const Tensor& x, const Tensor& out, PostOp post_op) const override {
    gemm(quantize_nvfp4(x.contiguous(), input_scale_), weight_, with(epilogue_, post_op), out);
  }
  std::int64_t out_features() const override { return weight_.out_features(); }
  LayerRecord describe() const override {
    return {.scheme = "nvfp4",
            .arithmetic = "emulated: E2M1 x E4M3 values in bf16 products with f32 accumulation",
            .activations = "fp4",
            .memory = weight_.nbytes()};
  }

 private:
  Nvfp4Weight weight_;
  float input_scale_;
  GemmEpilogue epilogue_;
};

/// Activations as they are.
class Nvfp4WeightOnlyKernel : public Linear::Kernel {
 public:
  Nvfp4WeightOnlyKernel(Nvfp4Weight weight,
                        float weight_scale_2,
                        bool lacks_input_scale,
                        const Tensor& bias)
      : weight_(std::move(weight)), lacks_input_scale_(lacks_input_scale) {
    epilogue_.weight_scale = weight_scale_2;
    if (bias.defined()) epilogue_.bias = bias.to(at::kFloat);
  }

  void run(const Tensor& x, const Tensor& out, PostOp post_op) const override {
    gemm(x, weight_, with(epilogue_, post_op), out);
  }
  std::int64_t out_features() const override { return weight_.out_features(); }
  LayerRecord describe() const override {
    return {.scheme = "nvfp4",
            .arithmetic = "emulated: E2M1 x E4M3 weights in bf16 products with f32 accumulation",
            .lacks_input_scale = lacks_input_scale_,
            .memory = weight_.nbytes()};
  }

 private:
  Nvfp4Weight weight_;
  bool lacks_input_scale_;
  GemmEpilogue epilogue_;
};

void require_companion(const Weights& w, const char* name) {
  if (w.has(name)) return;
  throw Error(ErrorCode::weight_without_scale, "an NVFP4 weight lacks one of its scales",
              facts(w, "weight", w.full_name(name), "nothing",
                    "Export the layer anew: without it the weight's values are unknown"));
}

/// The block scales, [N, K / 16]. Errors: wrong_shape, wrong_dtype, bad_scale for NaN.
Tensor read_block_scales(const Weights& w, std::int64_t n, std::int64_t k) {
  const ViewedTensor& info = w.info("weight_scale");
  if (info.dtype != Dtype::f8_e4m3) {
    throw Error(ErrorCode::wrong_dtype, "NVFP4 block scales have the wrong dtype",
                facts(w, "weight_scale", "F8_E4M3", std::string(name(info.dtype))));
  }
  check_shape(w, "weight_scale", {n, k / kBlock});
  const Tensor scales = w.raw("weight_scale").contiguous();
  const auto* bytes = static_cast<const std::uint8_t*>(scales.const_data_ptr());
  const auto nan = std::count_if(bytes, bytes + scales.numel(),
                                 [](std::uint8_t code) { return (code & 0x7F) == 0x7F; });
  if (nan != 0) {
    throw Error(ErrorCode::bad_scale, "NVFP4 block scales are not numbers",
                facts(w, "weight_scale", "no NaN", fmt::format("{} of {}", nan, scales.numel())));
  }
  return scales;
}

/// The exact values in the run's dtype.
Tensor dequantized(const Nvfp4Weight& weight, float weight_scale_2, at::ScalarType dtype) {
  return weight.dequantize().to(at::kFloat).mul(weight_scale_2).to(dtype);
}

}  // namespace

LinearKernel nvfp4_kernel(const Weights& w, std::int64_t k, std::int64_t n, const Tensor& bias) {
  if (k % kBlock != 0) {
    throw Error(ErrorCode::wrong_shape, "a layer of this width cannot be NVFP4",
                facts(w, "weight", fmt::format("a multiple of {} input features", kBlock),
                      fmt::format("{}", k)));
  }
  check_shape(w, "weight", {n, k / 2});
  require_companion(w, "weight_scale");
  require_companion(w, "weight_scale_2");
  const float weight_scale_2 = read_scale(w, "weight_scale_2");
  const Tensor codes = w.raw("weight").contiguous();
  const Tensor block_scales = read_block_scales(w, n, k);
  const auto weight = [&] { return Nvfp4Weight(codes, block_scales); };
  const bool has_input_scale = w.has("input_scale");
  const float input_scale = has_input_scale ? read_scale(w, "input_scale") : 1.0F;
  if (w.quant().ignores(w.module())) {
    log_warning(fmt::format(
        "{}: the ignore list names '{}', but its weight is NVFP4: dequantized to the run's dtype",
        w.path(), w.module()));
    return plain_kernel(on_device(dequantized(weight(), weight_scale_2, w.dtype()), w.device()),
                        bias);
  }
  const bool fp4_activations = has_input_scale && w.nvfp4_activations() == Nvfp4Activations::fp4;
  if (w.device().is_cuda()) {
    if (w.dtype() != at::kBFloat16 && fp4_activations) {
      throw Error(ErrorCode::unsupported, "NVFP4 activations need a bf16 run on a GPU",
                  facts(w, "weight", "--dtype bf16, or --nvfp4-activations bf16", "--dtype fp32"));
    }
    if (w.dtype() != at::kBFloat16) {
      return plain_kernel(on_device(dequantized(weight(), weight_scale_2, w.dtype()), w.device()),
                          bias);
    }
    return cuda_nvfp4_kernel(on_device(codes, w.device()), on_device(block_scales, w.device()),
                             weight_scale_2, fp4_activations ? input_scale : 0, !has_input_scale,
                             bias);
  }
  if (fp4_activations) {
    return std::make_unique<Nvfp4Kernel>(weight(), weight_scale_2, input_scale, bias);
  }
  return std::make_unique<Nvfp4WeightOnlyKernel>(weight(), weight_scale_2, !has_input_scale, bias);
}

}  // namespace ditq
