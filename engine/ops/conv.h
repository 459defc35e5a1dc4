#pragma once
// Convolutions of image decoders. Pictures are [B, C, H, W] with the channels innermost in memory
// (channels_last).

#include "tensor/tensor.h"

namespace ditq {

/// x in channels_last memory; x itself where it already is.
Tensor channels_last(const Tensor& x);

/// Convolution with stride 1 that keeps height and width.
/// Shapes: x [B, C, H, W]; weight [O, C, k, k], k odd, channels_last; bias [O]. bf16 or f32, all of
/// one dtype. Returns [B, O, H, W], channels_last.
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias);

/// The weight of upsample_conv2d.
/// Shapes: weight [O, C, 3, 3]. Returns [C, O, 4, 4] in the same dtype (sums in f32, rounded once).
Tensor upsample_conv2d_weight(const Tensor& weight);

/// Nearest-neighbour upsampling by two, then a 3x3 convolution, as one transposed convolution:
/// every output sees a 2x2 window of inputs, so four of nine products go and the large intermediate
/// is never made. In bf16 the weights' sums are rounded: 1.9e-3 from the exact result where the two
/// steps are 1.7e-3. Shapes: x [B, C, H, W]; weight from upsample_conv2d_weight; bias [O]. Returns
/// [B, O, 2 H, 2 W], channels_last.
Tensor upsample_conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias);

namespace reference {

/// The two steps of upsample_conv2d, with the original weight [O, C, 3, 3].
Tensor upsample_conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias);

}  // namespace reference
}  // namespace ditq
