#pragma once
// Decoding a picture in overlapping tiles: memory of one tile instead of the whole picture.

#include <cstdint>
#include <functional>

#include "tensor/tensor.h"

namespace ditq {

/// How a decoder's pictures are cut.
struct Tiling {
  std::int64_t latent_side;  ///< cells of a tile in each direction, a multiple of 4
  std::int64_t scale;        ///< pixels of a cell

  /// Whether latents [B, C, h, w] are larger than a tile in one direction.
  bool cuts(const Tensor& latents) const {
    return latents.size(2) > latent_side || latents.size(3) > latent_side;
  }
};

/// Decodes tiles that overlap by a quarter and blends each linearly into those above it and to its left, with diffusers'
/// order and rounding. `decode` turns latents [B, C, h, w] into pictures [B, O, h * scale, w * scale], which may be
/// changed. Returns the picture of all latents.
/// Source: diffusers models/autoencoders/autoencoder_kl.py 0.39 (tiled_decode, blend_v, blend_h).
Tensor decode_in_tiles(const Tensor& latents,
                       const Tiling& tiling,
                       const std::function<Tensor(const Tensor& tile)>& decode);

}  // namespace ditq
