#pragma once
// Attention on E4M3 codes: queries, keys and values quantized in the pass of norm and rope, the softmax's weights
// and the result quantized by the kernel. On the CPU, the same arithmetic in plain operations.

#include <string>

#include "ops/rope.h"
#include "tensor/tensor.h"

namespace ditq {

/// The scales of one layer that are known before it runs: code * scale is the value.
struct AttentionScales {
  float q = 1;  ///< of queries and keys: RMS norm bounds them
  float k = 1;
  float out = 0;  ///< of the result; 0: that of the values, of which it is a mean
  Tensor device;  ///< f32 [6]: q, k, weights' scale and its inverse, out and its inverse

  AttentionScales() = default;
  /// `out` as above.
  AttentionScales(float q, float k, float out, at::Device device);

  /// f32 [1]: what the result's codes are multiples of, given what was found about the values.
  Tensor out_scale(const Tensor& v_scale) const;
};

/// The largest magnitude that RMS norm with these weights [Dh] and a rotation leave: sqrt(Dh) * max|weight|. Waits
/// for the device.
float largest_after_norm(const Tensor& weight);

/// E4M3 codes of everything that attention reads.
struct QkvCodes {
  Tensor q, k, v;  ///< [B, L, Nh, Dh] Float8_e4m3fn
  Tensor
      v_scale;  ///< f32 [2]: the values' scale, their largest magnitude / 448 (1 for zeros), and its inverse
};

/// joint_norm_rope of queries and keys, rounded to bf16 and then to codes; values v [B, L, Nh, Dh] become codes
/// under the scale of their largest magnitude. found: f32 [3], zeros; v_scale lies in it. Queries and keys may be
/// overwritten.
QkvCodes joint_norm_rope_e4m3(const JointQk& qk,
                              const Tensor& v,
                              const Rope& rope,
                              const AttentionScales& scales,
                              const Tensor& found);

/// out = codes of softmax(q k^T / sqrt(Dh)) v: products of codes with f32 sums, weights exp(s - max) as E4M3 codes
/// of 256 times themselves, their sum in f32 before that rounding. out: [B, L, Nh * Dh] Float8_e4m3fn, rows contiguous.
/// The device takes the maximum over the keys seen so far, the CPU over all: their weights are rounded differently.
void attention_e4m3(const QkvCodes& qkv, const AttentionScales& scales, const Tensor& out);

/// out = codes * scale, rounded. Shapes: codes [B, L, C] Float8_e4m3fn and out of the same shape, rows contiguous;
/// scale f32 [1] on their device.
void dequantize_into(const Tensor& codes, const Tensor& scale, const Tensor& out);

/// Extents of attention over packed queries, keys and values.
struct AttentionExtents {
  std::int64_t batch = 0, tokens = 0, heads = 0, head_dim = 0;
  std::int64_t out_row_stride = 0;  ///< elements from token to token of the result
};

/// Empty if attention_e4m3 runs for these extents on this device and in this dtype, else why not. On a GPU the
/// kernel is made, which takes up to a second for the first.
std::string why_no_attention_e4m3(const AttentionExtents& extents,
                                  at::Device device,
                                  at::ScalarType dtype);

namespace reference {

/// The definition of attention_e4m3: codes [B, L, Nh * Dh].
Tensor attention_e4m3(const QkvCodes& qkv, const AttentionScales& scales);

}  // namespace reference
}  // namespace ditq
