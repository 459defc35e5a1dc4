#include "nn/linear.h"

#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "nn/layer_listener.h"
#include "nn/linear_kernel.h"
#include "ops/activation.h"
#include "ops/device_view.h"
#include "ops/gemm.h"
#include "ops/linear.h"
#include "ops/quantize.h"
#include "tensor/create.h"

namespace ditq {

namespace {

/// Weights as they are, in the run's dtype.
class PlainKernel : public Linear::Kernel {
 public:
  PlainKernel(Tensor weight, Tensor bias) : weight_(std::move(weight)), bias_(std::move(bias)) {}

  void run(const Tensor& x, const Tensor& out, PostOp post_op) const override {
    const Tensor product = linear(x, weight_, bias_);
    out.copy_(post_op == PostOp::gelu_tanh ? gelu_tanh(product) : product);
  }
  std::int64_t out_features() const override { return weight_.size(0); }
  LayerRecord describe() const override {
    return {.scheme = "f32", .arithmetic = "real", .memory = weight_.nbytes()};
  }

 private:
  Tensor weight_;
  Tensor bias_;
};

/// bf16 weights, f32 accumulation, one rounding after the bias.
class Bf16Kernel : public Linear::Kernel {
 public:
  Bf16Kernel(const Tensor& weight, const Tensor& bias) : weight_(weight.contiguous()) {
    if (bias.defined()) epilogue_.bias = bias.to(at::kFloat);
  }

  void run(const Tensor& x, const Tensor& out, PostOp post_op) const override {
    gemm(x, weight_, with(epilogue_, post_op), out);
  }
  std::int64_t out_features() const override { return weight_.out_features(); }
  LayerRecord describe() const override {
    return {.scheme = "bf16",
            .arithmetic = weight_.panels() ? "real" : "emulated: " + gemm_support().reason,
            .memory = weight_.data().nbytes()};
  }

 private:
  PackedWeight weight_;
  GemmEpilogue epilogue_;
};

/// ModelOpt FP8: E4M3 codes with one f32 scale, activations quantized with a static scale (design: arithmetic). E4M3
/// values are exact in bf16, so the bf16 product with f32 accumulation is the FP8 product.
class Fp8Kernel : public Linear::Kernel {
 public:
  Fp8Kernel(const Tensor& codes, float weight_scale, float input_scale, const Tensor& bias)
      : weight_(codes.to(at::kBFloat16)) {
    epilogue_.weight_scale = weight_scale;
    epilogue_.input_scale = input_scale;
    if (bias.defined()) epilogue_.bias = bias.to(at::kFloat);
  }
  Fp8Kernel(const Fp8Kernel& other, float input_scale) : Fp8Kernel(other) {
    epilogue_.input_scale = input_scale;
  }

  void run(const Tensor& x, const Tensor& out, PostOp post_op) const override {
    gemm(quantize_e4m3(x.contiguous(), epilogue_.input_scale), weight_, with(epilogue_, post_op),
         out);
  }
  std::int64_t out_features() const override { return weight_.out_features(); }
  LayerRecord describe() const override {
    return {.scheme = "fp8",
            .arithmetic = "emulated: E4M3 values in bf16 products with f32 accumulation",
            .activations = "fp8",
            .memory = weight_.data().nbytes()};
  }
  float input_scale() const override { return epilogue_.input_scale; }
  LinearKernel with_input_scale(float scale) const override {
    return std::make_unique<Fp8Kernel>(*this, scale);
  }

 private:
  PackedWeight weight_;
  GemmEpilogue epilogue_;
};

}  // namespace

LinearKernel Linear::Kernel::with_input_scale(float /*scale*/) const {
  DITQ_ASSERT(false);
  return nullptr;
}

void Linear::Kernel::run_quantized(const Tensor& x,
                                   const Tensor& out,
                                   PostOp post_op,
                                   const Form& next) const {
  const Tensor plain = empty(out.sizes(), at::kBFloat16, out.device());
  run(x, plain, PostOp::none);
  quantize_into(plain, next.scale, post_op == PostOp::gelu_tanh, out);
}

LinearKernel Linear::Kernel::merged(const std::vector<const Kernel*>& /*all*/) const {
  return nullptr;
}

GemmEpilogue with(GemmEpilogue epilogue, PostOp post_op) {
  epilogue.post_op = post_op;
  return epilogue;
}

LinearKernel plain_kernel(const Tensor& weight, const Tensor& bias) {
  if (weight.scalar_type() != at::kBFloat16) return std::make_unique<PlainKernel>(weight, bias);
  if (weight.is_cuda()) return cuda_bf16_kernel(weight, bias);
  return std::make_unique<Bf16Kernel>(weight, bias);
}

ErrorFacts facts(const Weights& w,
                 std::string_view name,
                 std::string expected,
                 std::string found,
                 std::string advice) {
  ErrorFacts out = w.where(name);
  out.expected = std::move(expected);
  out.found = std::move(found);
  out.advice = std::move(advice);
  return out;
}

float read_scale(const Weights& w, const char* name) {
  const ViewedTensor& info = w.info(name);
  if (info.dtype != Dtype::f32) {
    throw Error(ErrorCode::wrong_dtype, "a scale has the wrong dtype",
                facts(w, name, "F32", std::string(ditq::name(info.dtype))));
  }
  const Tensor scale = w.raw(name);
  if (scale.numel() != 1) {
    throw Error(ErrorCode::wrong_shape, "a scale must hold one element",
                facts(w, name, "[] or [1]", to_string(info.shape)));
  }
  const float value = scale.const_data_ptr<float>()[0];
  if (!std::isfinite(value) || value <= 0) {
    throw Error(ErrorCode::bad_scale, "a scale cannot be right",
                facts(w, name, "a finite positive number", fmt::format("{}", value)));
  }
  return value;
}

void check_shape(const Weights& w, std::string_view name, const Shape& shape) {
  const Shape& found = w.info(name).shape;
  if (found == shape) return;
  throw Error(ErrorCode::wrong_shape, "a tensor does not fit its layer",
              facts(w, name, to_string(shape), to_string(found)));
}

namespace {

/// The layer in the run's dtype, where the ignore list says that it is not quantized.
LinearKernel dequantized(const Weights& w,
                         const Tensor& codes,
                         const Tensor& scale,
                         const Tensor& bias) {
  log_warning(fmt::format(
      "{}: the ignore list names '{}', but its weight is FP8: dequantized to the run's dtype",
      w.path(), w.module()));
  if (w.has("input_scale")) read_scale(w, "input_scale");
  const Tensor factor = on_device(scale, codes.device());
  return plain_kernel(codes.to(at::kFloat).mul(factor).to(w.dtype()), bias);
}

LinearKernel fp8_kernel(const Weights& w, std::int64_t n, const Tensor& bias) {
  if (!w.has("weight_scale")) {
    throw Error(ErrorCode::weight_without_scale, "an FP8 weight has no scale",
                facts(w, "weight", w.full_name("weight_scale"), "nothing",
                      "Convert the export with 'ditq build-fp8'"));
  }
  const Tensor codes = w.stored("weight");
  const bool ignored = w.quant().ignores(w.module());
  if (has_channel_scales(w, n)) {
    if (!ignored) return fp8_channel_kernel(w, codes, n, bias);
    return dequantized(w, codes, read_channel_scales(w, n).unsqueeze(1), bias);
  }
  const float weight_scale = read_scale(w, "weight_scale");
  if (ignored) return dequantized(w, codes, filled({1}, weight_scale, at::kFloat), bias);
  if (!w.has("input_scale")) {
    throw Error(
        ErrorCode::weight_without_scale, "an FP8 layer has no input scale",
        facts(w, "weight", w.full_name("input_scale"), "nothing",
              "ditq loads ModelOpt's static FP8; convert the export with 'ditq build-fp8'"));
  }
  const float input_scale = read_scale(w, "input_scale");
  if (codes.is_cuda()) return cuda_fp8_kernel(codes, weight_scale, input_scale, bias, w.dtype());
  return std::make_unique<Fp8Kernel>(codes, weight_scale, input_scale, bias);
}

/// Scales beside a weight that is not quantized. Errors: scale_without_weight.
void refuse_stray_scales(const Weights& w) {
  for (const char* scale : {"weight_scale", "weight_scale_2", "input_scale"}) {
    if (!w.has(scale)) continue;
    throw Error(ErrorCode::scale_without_weight,
                "a scale stands beside a weight that is not quantized",
                facts(w, scale,
                      fmt::format("'{}' in F8_E4M3 (FP8) or U8 (NVFP4)", w.where("weight").tensor),
                      std::string(name(w.info("weight").dtype))));
  }
}

/// The config and the weights must speak of one scheme. Errors: weight_without_scale … wrong_dtype.
void check_scheme(const Weights& w, Scheme stored) {
  const Scheme declared = w.quant().scheme;
  if (declared == Scheme::none || declared == stored) return;
  throw Error(ErrorCode::wrong_dtype, "a weight is of another scheme than the config declares",
              facts(w, "weight", std::string(name(declared)), std::string(name(stored)),
                    "Declared in " + w.quant().source));
}

LinearKernel quantized_or_plain(const Weights& w,
                                std::int64_t k,
                                std::int64_t n,
                                const Tensor& bias) {
  const ViewedTensor& info = w.info("weight");
  if (info.dtype == Dtype::f8_e4m3) {
    check_scheme(
        w, w.quant().scheme == Scheme::fp8_channel_token ? Scheme::fp8_channel_token : Scheme::fp8);
    check_shape(w, "weight", {n, k});
    return fp8_kernel(w, n, bias);
  }
  if (info.dtype == Dtype::u8) {
    check_scheme(w, Scheme::nvfp4);
    return nvfp4_kernel(w, k, n, bias);
  }
  refuse_stray_scales(w);
  if (info.dtype != Dtype::bf16 && info.dtype != Dtype::f16 && info.dtype != Dtype::f32) {
    throw Error(ErrorCode::wrong_dtype, "a weight has a dtype that no scheme of ditq explains",
                facts(w, "weight", "BF16, F16, F32, F8_E4M3 (FP8) or U8 (NVFP4)",
                      std::string(name(info.dtype))));
  }
  return plain_kernel(w.plain("weight", {n, k}), bias);
}

LinearKernel stored_kernel(const Weights& w, std::int64_t k, std::int64_t n) {
  LinearKernel kernel = quantized_or_plain(w, k, n, w.optional("bias", {n}));
  return has_svdquant(w) ? svdquant_kernel(w, k, n, std::move(kernel)) : std::move(kernel);
}

LinearKernel make_kernel(const Weights& w, std::int64_t k, std::int64_t n) {
  LinearKernel kernel = stored_kernel(w, k, n);
  const std::optional<Weights> other = w.other();
  if (!other) return kernel;
  const Dtype dtype = other->info("weight").dtype;
  const bool quantized = dtype == Dtype::f8_e4m3 || dtype == Dtype::u8;
  if (!quantized || other->quant().ignores(other->module())) return kernel;
  return switched_kernel(w, *other, std::move(kernel), stored_kernel(*other, k, n));
}

}  // namespace

Linear::Linear(const Weights& w, std::int64_t in_features, std::int64_t out_features)
    : kernel_(make_kernel(w, in_features, out_features)), modules_{w.module()} {
  LayerRecord record = kernel_->describe();
  record.module = w.module();
  w.record(std::move(record));
}

Linear::~Linear() = default;
Linear::Linear(Linear&&) noexcept = default;
Linear& Linear::operator=(Linear&&) noexcept = default;

Tensor Linear::operator()(const Tensor& x, PostOp post_op) const {
  std::vector<std::int64_t> shape = x.sizes().vec();
  shape.back() = kernel_->out_features();
  // Codes come from an op that knew this layer's form: the run's dtype is bf16.
  const bool codes = x.scalar_type() == at::kFloat8_e4m3fn;
  Tensor out = empty(shape, codes ? at::kBFloat16 : x.scalar_type(), x.device());
  into(x, out, post_op);
  return out;
}

Form Linear::form() const {
  return kernel_->form();
}

namespace {

/// Calls visit(x [M, K], out [M, N]): once where the pictures of a batch lie behind one another, else for each.
template <typename Visit>
void for_matrices(const Tensor& x, const Tensor& out, const Visit& visit) {
  if (x.dim() == 2) return visit(x, out);
  DITQ_ASSERT(x.dim() == 3);
  if (x.is_cuda() && is_matrix(x) && is_matrix(out)) {
    const auto rows = [](const Tensor& all) {
      return all.as_strided({all.size(0) * all.size(1), all.size(2)}, {all.stride(1), 1});
    };
    return visit(rows(x), rows(out));
  }
  for (std::int64_t batch = 0; batch < x.size(0); ++batch) visit(x[batch], out[batch]);
}

}  // namespace

void Linear::into(const Tensor& x, const Tensor& out, PostOp post_op, const Form& next) const {
  if (LayerListener* listener = layer_listener()) {
    for (const std::string& module : modules_) listener->linear(module, x);
  }
  for_matrices(x, out, [&](const Tensor& from, const Tensor& to) {
    if (next.e4m3) return kernel_->run_quantized(from, to, post_op, next);
    kernel_->run(from, to, post_op);
  });
}

Linear::Linear(std::unique_ptr<const Kernel> kernel, std::vector<std::string> modules)
    : kernel_(std::move(kernel)), modules_(std::move(modules)) {}

std::optional<Linear> Linear::merged(const std::vector<const Linear*>& parts) {
  std::vector<const Kernel*> kernels;
  std::vector<std::string> modules;
  for (const Linear* part : parts) {
    kernels.push_back(part->kernel_.get());
    modules.insert(modules.end(), part->modules_.begin(), part->modules_.end());
  }
  auto kernel = kernels.front()->merged(kernels);
  if (kernel == nullptr) return std::nullopt;
  return Linear(std::move(kernel), std::move(modules));
}

std::int64_t Linear::out_features() const {
  return kernel_->out_features();
}

float Linear::input_scale() const {
  return kernel_->input_scale();
}

Linear Linear::with_input_scale(float scale) const {
  return Linear(kernel_->with_input_scale(scale), modules_);
}

}  // namespace ditq
