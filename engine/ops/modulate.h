#pragma once
// The byte passes of adaptive layer norm, fused. Rounding points in bf16 are those of the plain operations.

#include "ops/form.h"
#include "tensor/tensor.h"

namespace ditq {

/// LayerNorm without weight (eps 1e-6), then y * (1 + scale) + shift, in the form of the layer that reads it.
/// Shapes: x [B, L, D], rows contiguous; shift, scale [B, D], rows contiguous (views of one projection are fine).
/// bf16 or f32, all of one dtype. Returns [B, L, D].
/// Source: diffusers models/normalization.py 0.39 (AdaLayerNormZero, AdaLayerNormContinuous).
Tensor layer_norm_modulate(const Tensor& x,
                           const Tensor& shift,
                           const Tensor& scale,
                           const Form& form = {});

/// gate * y, to be added to tokens. Shapes: gate [B, D], y [B, L, D], as add_gated takes them; both empty: nothing.
struct GatedUpdate {
  Tensor gate;
  Tensor y;
};

/// add_gated(x, update), then layer_norm_modulate of the new x, in one pass on a GPU.
Tensor add_gated_layer_norm_modulate(const Tensor& x,
                                     const GatedUpdate& update,
                                     const Tensor& shift,
                                     const Tensor& scale,
                                     const Form& form);

/// x += gate * y, in place.
/// Shapes: x [B, L, D] and y [B, L, D], rows contiguous; gate [B, D], rows contiguous. bf16 or f32.
void add_gated(const Tensor& x, const Tensor& gate, const Tensor& y);

namespace reference {

Tensor layer_norm_modulate(const Tensor& x, const Tensor& shift, const Tensor& scale);
Tensor add_gated(const Tensor& x, const Tensor& gate, const Tensor& y);

}  // namespace reference
}  // namespace ditq
