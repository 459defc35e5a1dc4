#pragma once
// Sizes of a FLUX.1 transformer, read from its config.

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "base/json.h"
#include "family/family.h"

namespace ditq {

/// D = heads * head_dim; the feed-forward width is 4 D in every FLUX.1.
struct Flux1Dims {
  std::int64_t num_layers = 19;              ///< double-stream blocks
  std::int64_t num_single_layers = 38;       ///< single-stream blocks
  std::int64_t heads = 24;                   ///< Nh
  std::int64_t head_dim = 128;               ///< Dh
  std::int64_t joint_attention_dim = 4096;   ///< width of the T5 states
  std::int64_t pooled_projection_dim = 768;  ///< width of the pooled CLIP state
  std::int64_t in_channels = 64;             ///< packed latent channels in
  std::int64_t out_channels = 64;            ///< packed latent channels out
  std::int64_t patch_size = 1;               ///< 1 in every published model: latents come packed
  bool guidance_embeds = true;               ///< guidance-distilled: takes guidance as an input
  std::array<std::int64_t, 3> axes_dims_rope{16, 56,
                                             56};  ///< rope width of index, row, column; sums to Dh

  std::int64_t hidden() const { return heads * head_dim; }
};

/// Reads and checks the diffusers config of a FluxTransformer2DModel; keys that are absent take diffusers' defaults.
/// All problems are reported in one error. `path` names the document.
/// Errors: bad_config (a value out of range, or values that contradict each other), json_type.
/// Source: diffusers models/transformers/transformer_flux.py @ 0.39.0 (FluxTransformer2DModel).
Flux1Dims parse_flux1_dims(const Json& config, const std::string& path);

/// The sizes of a published variant ("dev", "schnell") or of the bundled one ("tiny"), or nothing for other names.
std::optional<Flux1Dims> published_flux1_dims(const std::string& variant);

/// The diffusers config of these sizes; parse_flux1_dims is its inverse.
Json flux1_config(const Flux1Dims& dims);

/// The dims that flux1_family().layers speaks of.
DimValues dim_values(const Flux1Dims& dims);

}  // namespace ditq
