#pragma once
// Run-time quantization of activations.

#include "ops/form.h"
#include "tensor/tensor.h"

namespace ditq {

/// E4M3 values of x / input_scale, saturating: e4m3_rne(clamp(f32(x) * (1 / input_scale), ±448)), held in bf16, where
/// they are exact. NaN stays NaN.
/// Shapes: x [..., K] bf16 or f32, contiguous. Returns x's shape in bf16.
/// Source: SGLang bridge 4.7.
Tensor quantize_e4m3(const Tensor& x, float input_scale);

/// x in the form that a layer reads; x itself where the form is plain. Shapes: x [..., C] bf16 or f32, rows contiguous.
Tensor to_form(const Tensor& x, const Form& form);

/// E4M3 codes of x / scale, or with `gelu` of gelu_tanh(x) / scale (rounded to x's dtype in between), into `out`.
/// Shapes: x [B, L, C] or [M, C], bf16 or f32, and out of the same shape in Float8_e4m3fn; rows contiguous, else any strides.
void quantize_into(const Tensor& x, float scale, bool gelu, const Tensor& out);

/// Activations with a scale of their own for each row.
struct RowQuantized {
  Tensor values;  ///< [M, K] bf16: E4M3 values, exact
  Tensor scales;  ///< [M] f32
};

/// scale[m] = max(max |x[m]| / 448, 1 / (448 * 512)), values[m, k] = e4m3_rne(clamp(f32(x[m, k]) * (1 / scale[m]), ±448)).
/// NaN and infinity in a row give it a NaN scale or NaN values.
/// Shapes: x [M, K] bf16 or f32, on the CPU, rows contiguous.
/// Source: vLLM layers/quantization/input_quant_fp8.py (QuantFP8.forward_native, per token) @ 00155cd: the least scale
/// keeps rows of zeros from a division by zero.
RowQuantized quantize_e4m3_rows(const Tensor& x);

namespace reference {

/// The codes, by torch's own cast: the definition of quantize_into.
Tensor e4m3_codes(const Tensor& x, float scale, bool gelu);

/// The definition, by torch's own cast.
Tensor quantize_e4m3(const Tensor& x, float input_scale);
RowQuantized quantize_e4m3_rows(const Tensor& x);

}  // namespace reference
}  // namespace ditq
