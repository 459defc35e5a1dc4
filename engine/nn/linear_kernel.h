#pragma once
// The kernel side of Linear: one class per scheme, chosen once, when the layer is built.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "nn/linear.h"

namespace ditq {

class Linear::Kernel {
 public:
  virtual ~Kernel() = default;
  /// x [M, K] rows contiguous, in the run's dtype or in the layer's form; out [M, N] rows contiguous; both may be strided
  /// views.
  virtual void run(const Tensor& x, const Tensor& out, PostOp post_op) const = 0;
  virtual std::int64_t out_features() const = 0;
  /// scheme, arithmetic and memory of the record.
  virtual LayerRecord describe() const = 0;

  /// What the layer reads without converting it first.
  virtual Form form() const { return {}; }
  /// As run, with out [M, N] in E4M3 of the form `next`.
  virtual void run_quantized(const Tensor& x,
                             const Tensor& out,
                             PostOp post_op,
                             const Form& next) const;
  /// As Linear's.
  virtual float input_scale() const { return 0; }
  virtual std::unique_ptr<const Kernel> with_input_scale(float scale) const;
  /// One kernel for several layers over one input, this one first: their outputs side by side. Null where that is not
  /// one product.
  virtual std::unique_ptr<const Kernel> merged(const std::vector<const Kernel*>& all) const;
};

using LinearKernel = std::unique_ptr<const Linear::Kernel>;

/// `epilogue` with another post op.
GemmEpilogue with(GemmEpilogue epilogue, PostOp post_op);

/// weight [N, K] and bias [N] (or empty) in the run's dtype, not quantized.
LinearKernel plain_kernel(const Tensor& weight, const Tensor& bias);

/// Whether the FP8 layer below the prefix has a weight scale for each of its n rows: as its config declares, or, where
/// nothing is declared, by shape and without an input scale. Errors: missing_tensor.
bool has_channel_scales(const Weights& w, std::int64_t n);

/// Those scales, f32 [n] on the CPU, from [n] or [n, 1]. Errors: wrong_dtype, bad_scale.
Tensor read_channel_scales(const Weights& w, std::int64_t n);

/// The layer with such scales and codes [n, K]; activations are quantized row by row at run time.
/// Errors: as read_channel_scales; bad_config (an input scale), unsupported (on a GPU).
LinearKernel fp8_channel_kernel(const Weights& w,
                                const Tensor& codes,
                                std::int64_t n,
                                const Tensor& bias);

/// The NVFP4 layer below the prefix, its weight being U8. Activations: WeightsOptions::nvfp4_activations; bf16 where the
/// layer has no input_scale. Errors: missing_tensor, wrong_shape, wrong_dtype, bad_scale, weight_without_scale.
LinearKernel nvfp4_kernel(const Weights& w, std::int64_t k, std::int64_t n, const Tensor& bias);

/// Whether the layer has SVDQuant's companions: pre_quant_scale, svdquant_lora_a, svdquant_lora_b.
bool has_svdquant(const Weights& w);

/// y = inner(x p) + ((x p) A^T) B^T: the smoothed layer `inner` with its low-rank branch. Errors: missing_tensor,
/// wrong_shape. Source: ModelOpt reference 4.
LinearKernel svdquant_kernel(const Weights& w, std::int64_t k, std::int64_t n, LinearKernel inner);
/// The layer `plain` that turns into `quantized` when w's layer switch says so; w and other are its two weights.
LinearKernel switched_kernel(const Weights& w,
                             const Weights& other,
                             LinearKernel plain,
                             LinearKernel quantized);

/// The same on a GPU: bf16 weights through cuBLASLt.
LinearKernel cuda_bf16_kernel(const Tensor& weight, const Tensor& bias);

/// ModelOpt FP8 on a GPU: codes [N, K] E4M3 there, bias [N] bf16 or empty. FP8 products where the GPU has them, else
/// bf16 products of the decoded values; f32 products in an f32 run.
LinearKernel cuda_fp8_kernel(const Tensor& codes,
                             float weight_scale,
                             float input_scale,
                             const Tensor& bias,
                             at::ScalarType dtype);

/// An NVFP4 layer on a GPU: codes [N, K / 2] and block scales [N, K / 16] there, bias [N] bf16 or empty. Weights
/// stay packed; each product expands them into a bf16 matrix that lives as long as the product. input_scale: of
/// activations that are quantized as FP4 units need them; 0: they stay as they are.
LinearKernel cuda_nvfp4_kernel(const Tensor& codes,
                               const Tensor& block_scales,
                               float weight_scale_2,
                               float input_scale,
                               bool lacks_input_scale,
                               const Tensor& bias);

/// Where a tensor is stored, what was expected there and what was found.
ErrorFacts facts(const Weights& w,
                 std::string_view name,
                 std::string expected,
                 std::string found,
                 std::string advice = {});

/// A scale tensor of one element, [] or [1]. Errors: missing_tensor, wrong_shape, wrong_dtype, bad_scale.
float read_scale(const Weights& w, const char* name);

/// Errors: wrong_shape.
void check_shape(const Weights& w, std::string_view name, const Shape& shape);

}  // namespace ditq
