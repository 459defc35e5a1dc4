#pragma once
// The decoder of a convolutional image autoencoder (Stable Diffusion, FLUX.1 and their kind):
// latents to pictures.

#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "models/vae/tiled_decode.h"
#include "nn/check_weights.h"
#include "tensor/weights.h"

namespace ditq {

/// Sizes of an AutoencoderKL, as far as its decoder is concerned; absent keys take diffusers'
/// defaults.
struct AutoencoderKlConfig {
  std::int64_t latent_channels = 4;
  std::int64_t out_channels = 3;
  std::vector<std::int64_t> block_out_channels = {
      64};                            ///< channels per resolution, the finest first
  std::int64_t layers_per_block = 1;  ///< the decoder has one more of them
  std::int64_t norm_num_groups = 32;
  bool mid_block_add_attention = true;
  bool use_post_quant_conv = true;  ///< a 1x1 convolution before the decoder
  double scaling_factor = 0.18215;  ///< pipelines work on (latents - shift_factor) * scaling_factor
  double shift_factor = 0.0;
  std::int64_t sample_size = 32;  ///< pixels of a side in training; the side of a tile

  /// Pixels per latent cell, in each direction.
  std::int64_t scale() const { return std::int64_t{1} << (block_out_channels.size() - 1); }

  /// Cells of a tile's side as diffusers cuts them, or 0 where its tiles would not fit together.
  std::int64_t tile_latent_side() const {
    return sample_size % (4 * scale()) == 0 ? sample_size / scale() : 0;
  }

  /// Errors: json_type; bad_config, listing all problems. `path` names the document. `force_upcast`
  /// is not read: FLUX's pipeline decodes in the run's dtype whatever it says. Source: diffusers
  /// models/autoencoders/autoencoder_kl.py 0.39, pipelines/flux/pipeline_flux.py.
  static AutoencoderKlConfig parse(const Json& config, const std::string& path);
};

/// The tensors that the decoder reads; the encoder's are tolerated. `old_attention`: the middle
/// block's attention goes by the names query, key, value and proj_attn, as diffusers wrote them
/// before 0.17.
WeightTable autoencoder_kl_weights(const AutoencoderKlConfig& config, bool old_attention);

/// Source: diffusers models/autoencoders/autoencoder_kl.py and vae.py 0.39 (AutoencoderKL.decode,
/// Decoder).
class AutoencoderKl {
 public:
  /// Errors: family_mismatch.
  AutoencoderKl(const Weights& w, const AutoencoderKlConfig& config);
  ~AutoencoderKl();
  AutoencoderKl(AutoencoderKl&&) noexcept;
  AutoencoderKl& operator=(AutoencoderKl&&) noexcept;

  /// Latents in pipeline space [B, latent_channels, h, w] to a picture [B, out_channels, H, W] (H =
  /// h * scale()), mostly within -1…1 and not clamped. latents / scaling_factor + shift_factor is
  /// computed in the run's dtype, as FLUX's pipeline does. Taps: decoder.input, .conv_in,
  /// .mid_block, .up_blocks.N, .output.
  Tensor decode(const Tensor& latents) const;

  /// The same in tiles where the latents are larger than one: seams are blended, the picture differs from decode's.
  /// Errors: unsupported, where tile_latent_side() is 0.
  Tensor decode_tiled(const Tensor& latents) const;

  /// Errors: as decode_tiled, before there are latents.
  Tiling tiling() const;

  const AutoencoderKlConfig& config() const { return config_; }

 private:
  struct Network;
  Tensor from_pipeline(const Tensor& latents) const;
  Tensor decode_plain(const Tensor& z) const;

  AutoencoderKlConfig config_;
  std::unique_ptr<const Network> network_;
};

}  // namespace ditq
