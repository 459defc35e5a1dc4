#pragma once
// What a run takes of a GPU's memory, known before it begins.

#include <cstdint>
#include <string>

#include "family/flux1.h"
#include "models/vae/autoencoder_kl.h"
#include "tensor/tensor.h"

namespace ditq {

/// Bytes on the device.
struct MemoryPlan {
  std::size_t weights = 0;   ///< of all components, as they lie on the device
  std::size_t steps = 0;     ///< what the recorded steps keep
  std::size_t decoding = 0;  ///< the VAE's largest pictures

  std::size_t total() const { return weights + steps + decoding; }
  bool operator==(const MemoryPlan&) const = default;
};

/// The size of what is made: tokens of the transformer, pixels of the picture.
struct PictureSize {
  std::int64_t text_tokens = 0;
  std::int64_t image_tokens = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t steps = 0;
  bool expands_weights = false;  ///< products expand packed weights in front of them
  bool tiled = false;            ///< the VAE decodes in tiles
};

/// The plan of a run of FLUX.1 with `weights` bytes loaded.
MemoryPlan plan_memory(std::size_t weights,
                       const Flux1Dims& dims,
                       const AutoencoderKlConfig& vae,
                       const PictureSize& size,
                       at::ScalarType dtype);

/// Whether the device has that much left.
bool fits(const MemoryPlan& plan);

/// Refuses a plan that is larger than what the device has left, and says it where `announce` asks for that. Errors:
/// out_of_memory, with what would make it fit.
void check_memory(const MemoryPlan& plan, bool announce);

/// Says what was used, beside the plan.
void report_memory(const MemoryPlan& plan);

}  // namespace ditq
