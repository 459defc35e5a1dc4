#pragma once
// Checkpoints of random weights at full size: anybody can measure speed and memory without a download.

#include <cstdint>
#include <string>
#include <vector>

namespace ditq {

struct SynthRequest {
  std::string family = "flux1";
  std::string variant = "dev";
  std::string scheme = "bf16";  ///< bf16, fp8 or nvfp4
  std::string fallback_set =
      "none";  ///< which layers of a quantized checkpoint stay in BF16: none, documented
  std::string output_dir;
  std::uint64_t seed = 0;
  bool overwrite = false;
  bool all_components = false;  ///< the whole pipeline: text encoders, VAE and scheduler too
  std::string tokenizers_from;  ///< with all_components: a pipeline whose tokenizers are copied
};

struct SynthStatistics {
  std::uint64_t tensors = 0;
  std::uint64_t parameters = 0;  ///< of the unquantized model
  std::uint64_t bytes = 0;
  std::uint64_t quantized_layers = 0;
  std::uint64_t shards = 0;
};

/// The variants that can be made, such as "flux1/dev".
std::vector<std::string> synth_variants();

/// Writes a transformer folder, or with all_components a pipeline's: normally distributed weights whose outputs neither
/// grow nor vanish from layer to layer, scales as a calibration would find them. Equal requests write equal bytes, whatever the number of threads.
/// Errors: usage for a family, variant, scheme or set that is not known and for all_components without tokenizers;
/// file_not_found for tokenizers; output_exists, output_busy, storage, interrupted.
SynthStatistics synth(const SynthRequest& request);

/// What stdout prints.
std::string to_json_text(const SynthStatistics& statistics);

}  // namespace ditq
