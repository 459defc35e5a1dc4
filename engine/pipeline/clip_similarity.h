#pragma once
// How alike two pictures are to CLIP.

#include <memory>
#include <string>

#include "base/json.h"
#include "media/picture.h"
#include "tensor/tensor.h"

namespace ditq {

class ClipVision;

/// How pictures become CLIP's input: bicubic to `size` pixels of the shorter side, the middle of crop_width x
/// crop_height, values times `factor`, minus mean, by deviation.
/// Source: transformers models/clip/image_processing_pil_clip.py 5.17.
struct ClipPreprocessing {
  std::int64_t size = 224;
  std::int64_t crop_width = 224;
  std::int64_t crop_height = 224;
  double factor = 1.0 / 255;
  std::vector<double> mean{0.48145466, 0.4578275, 0.40821073};
  std::vector<double> deviation{0.26862954, 0.26130258, 0.27577711};

  /// Reads a preprocessor_config.json. Errors: bad_config, json_type; unsupported for steps that are left out and other
  /// filters than bicubic, all of which are named.
  static ClipPreprocessing parse(const Json& config, const std::string& path);

  /// [1, 3, crop_height, crop_width] f32.
  Tensor operator()(const Picture& picture) const;
};

/// A CLIP image encoder in f32 on the CPU, so that its figures depend on no device.
class ClipSimilarity {
 public:
  /// Opens the folder of a CLIPModel or CLIPVisionModelWithProjection: config.json, preprocessor_config.json, weights.
  /// Errors: file_not_found, those of the readers, bad_config (the crop is not the network's size), family_mismatch.
  explicit ClipSimilarity(const std::string& folder);
  ~ClipSimilarity();

  /// Normalised embedding [1, P] f32.
  Tensor embed(const Picture& picture) const;
  /// Cosine of both pictures' embeddings.
  double operator()(const Picture& reference, const Picture& candidate) const;

 private:
  ClipPreprocessing preprocessing_;
  std::unique_ptr<const ClipVision> network_;
};

}  // namespace ditq
