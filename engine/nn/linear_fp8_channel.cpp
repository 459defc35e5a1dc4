// FP8 with a scale for each output channel, and for each row of activations at run time.
// Sources: vLLM layers/quantization/modelopt.py @ 00155cd (ModelOptFp8PcPtLinearMethod: names, shapes; vLLM-Omni's
// diffusion workers load through it); ModelOpt export/quant_utils.py (FP8_PC_PT: scales [N], codes E4M3(f32(w) / s)).

#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "nn/linear_kernel.h"
#include "ops/quantize.h"

namespace ditq {
namespace {

class Fp8ChannelKernel : public Linear::Kernel {
 public:
  Fp8ChannelKernel(const Tensor& codes, Tensor scales, const Tensor& bias)
      : weight_(codes.to(at::kBFloat16)) {
    epilogue_.channel_scales = std::move(scales);
    if (bias.defined()) epilogue_.bias = bias.to(at::kFloat);
  }

  void run(const Tensor& x, const Tensor& out, PostOp post_op) const override {
    const RowQuantized input = quantize_e4m3_rows(x);
    GemmEpilogue epilogue = with(epilogue_, post_op);
    epilogue.row_scales = input.scales;
    gemm(input.values, weight_, epilogue, out);
  }
  std::int64_t out_features() const override { return weight_.out_features(); }
  LayerRecord describe() const override {
    return {.scheme = "fp8-channel-token",
            .arithmetic = "emulated: E4M3 values in bf16 products with f32 accumulation",
            .activations = "fp8",
            .memory = weight_.data().nbytes() + epilogue_.channel_scales.nbytes()};
  }

 private:
  PackedWeight weight_;
  GemmEpilogue epilogue_;
};

}  // namespace

bool has_channel_scales(const Weights& w, std::int64_t n) {
  if (!w.has("weight_scale")) return false;
  const Shape& shape = w.info("weight_scale").shape;
  const bool by_row = shape == Shape{n} || shape == Shape{n, 1};
  if (w.quant().scheme == Scheme::fp8_channel_token) return by_row;
  return w.quant().scheme == Scheme::none && by_row && n > 1 && !w.has("input_scale");
}

Tensor read_channel_scales(const Weights& w, std::int64_t n) {
  const ViewedTensor& info = w.info("weight_scale");
  if (info.dtype != Dtype::f32) {
    throw Error(ErrorCode::wrong_dtype, "a scale has the wrong dtype",
                facts(w, "weight_scale", "F32", std::string(ditq::name(info.dtype))));
  }
  const Tensor scales = w.raw("weight_scale").reshape({n}).clone();
  const auto* values = scales.const_data_ptr<float>();
  for (std::int64_t row = 0; row < n; ++row) {
    if (std::isfinite(values[row]) && values[row] > 0) continue;
    throw Error(ErrorCode::bad_scale, "a scale cannot be right",
                facts(w, "weight_scale", "finite positive numbers",
                      fmt::format("{} in row {}", values[row], row)));
  }
  return scales;
}

LinearKernel fp8_channel_kernel(const Weights& w,
                                const Tensor& codes,
                                std::int64_t n,
                                const Tensor& bias) {
  if (w.has("input_scale")) {
    throw Error(ErrorCode::bad_config,
                "a layer whose activations are scaled at run time has a static input scale",
                facts(w, "input_scale", "none for FP8_PER_CHANNEL_PER_TOKEN", "a scale"));
  }
  Tensor scales = read_channel_scales(w, n);
  if (codes.is_cuda()) {
    throw Error(ErrorCode::unsupported, "FP8 per channel and token runs on the CPU only",
                facts(w, "weight", "--device cpu", "a layer on a GPU",
                      "Per-tensor FP8 ('ditq quantize --format fp8') runs on GPUs"));
  }
  return std::make_unique<Fp8ChannelKernel>(codes, std::move(scales), bias);
}

}  // namespace ditq
