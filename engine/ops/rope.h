#pragma once
// Rotary position embedding, with the RMS norm of queries and keys in the same pass.

#include "tensor/tensor.h"

namespace ditq {

/// Cosines and sines of every position, [L, Dh / 2] f32 each: value i turns the pair (2i, 2i + 1).
struct Rope {
  Tensor cos;
  Tensor sin;

  Rope to(at::Device device) const;
  /// The rows of tokens [begin, begin + count).
  Rope slice(std::int64_t begin, std::int64_t count) const;
};

/// Tables of an n-dimensional rope: axis a has `axes[a]` channels and frequencies theta^(-2i / axes[a]) in f64.
/// Shapes: positions [L, axes.size()] f32. Source: diffusers embeddings.py 0.39 (get_1d_rotary_pos_embed, float64).
Rope make_rope(const Tensor& positions, at::IntArrayRef axes, double theta);

/// x = rope(rms_norm(x) * weight), in place: norm over Dh in f32 with eps 1e-6, rounded once to x's dtype, rotated in
/// f32, rounded again.
/// Shapes: x [B, L, Nh, Dh], a view with contiguous Dh; weight [Dh]; rope of the same L tokens. bf16 or f32.
/// Source: diffusers transformer_flux.py 0.39 (FluxAttnProcessor, torch.nn.RMSNorm), embeddings.py (apply_rotary_emb).
void rms_norm_rope(const Tensor& x, const Tensor& weight, const Rope& rope);

/// Added to the mean square of queries and keys. Source: diffusers transformer_flux.py 0.39 (RMSNorm(eps=1e-6)).
inline constexpr double kQkNormEpsilon = 1e-6;

/// Queries and keys of text and image tokens in one sequence, text first, with the norm weights of each.
struct JointQk {
  Tensor q, k;  ///< [B, L, Nh, Dh], views with contiguous Dh
  std::int64_t text_tokens = 0;
  Tensor text_q, text_k, image_q,
      image_k;  ///< [Dh]; the first two may be empty without text tokens
};

/// rms_norm_rope of queries and keys, in place: one pass over both on a GPU. rope: of all L tokens.
void joint_norm_rope(const JointQk& qk, const Rope& rope);

namespace reference {

Tensor rms_norm_rope(const Tensor& x, const Tensor& weight, const Rope& rope);

}  // namespace reference
}  // namespace ditq
