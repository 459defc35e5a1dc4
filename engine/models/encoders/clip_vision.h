#pragma once
// CLIP's image encoder: pictures to embeddings that can be compared.

#include <memory>
#include <string>

#include "base/json.h"
#include "nn/check_weights.h"
#include "tensor/weights.h"

namespace ditq {

/// Sizes of a CLIPModel's or a CLIPVisionModelWithProjection's image side; absent keys take transformers' defaults.
struct ClipVisionConfig {
  std::int64_t hidden_size = 768;         ///< D
  std::int64_t intermediate_size = 3072;  ///< width of the feed-forward layer
  std::int64_t num_layers = 12;
  std::int64_t num_heads = 12;
  std::int64_t image_size = 224;  ///< pixels of a side
  std::int64_t patch_size =
      32;  ///< pixels of a patch's side; S = (image_size / patch_size)^2 patches
  std::int64_t projection_dim = 512;  ///< P, of an embedding
  double layer_norm_eps = 1e-5;
  std::string hidden_act = "quick_gelu";

  /// A config.json of model_type "clip", whose vision_config is read, or "clip_vision_model".
  /// Errors: json_type; bad_config, listing all problems. `path` names the document.
  /// Source: transformers models/clip/configuration_clip.py 5.17 (CLIPVisionConfig, CLIPConfig).
  static ClipVisionConfig parse(const Json& config, const std::string& path);
};

/// The tensors that the encoder reads; a whole CLIPModel's others are tolerated.
WeightTable clip_vision_weights(const ClipVisionConfig& config);

/// Vision transformer with a class token, pre-norm, and its projection. Source: transformers
/// models/clip/modeling_clip.py 5.17 (CLIPVisionModelWithProjection).
class ClipVision {
 public:
  /// Errors: family_mismatch.
  ClipVision(const Weights& w, const ClipVisionConfig& config);
  ~ClipVision();
  ClipVision(ClipVision&&) noexcept;
  ClipVision& operator=(ClipVision&&) noexcept;

  /// pixels [B, 3, image_size, image_size] in the weights' dtype, normalised. Returns image embeddings [B, P], not
  /// normalised. Taps: clip_vision.hidden.N (before layer N, and after the last), clip_vision.embeds.
  Tensor operator()(const Tensor& pixels) const;

  const ClipVisionConfig& config() const { return config_; }

 private:
  struct Network;
  ClipVisionConfig config_;
  std::unique_ptr<const Network> network_;
};

}  // namespace ditq
