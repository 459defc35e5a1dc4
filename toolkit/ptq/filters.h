#pragma once
// Which quantizers stay switched off although a preset switches them on: a model's regular expressions, applied after
// calibration.

#include <string>
#include <vector>

#include "base/regex.h"

namespace ditq {

/// The filters of ModelOpt's quantize.py.
enum class NameFilter {
  standard,            ///< embedders, first and last layers
  flux,                ///< the same for FLUX.1 dev and FLUX.2, without the blocks' own projections
  ltx,                 ///< also three blocks at each end of 48
  wan,                 ///< also three blocks at each end of 40
  qwen,                ///< everything outside blocks 2 to 57
  ltx2_video_decoder,  ///< everything but the convolutions of the upper blocks
  wan_vae,             ///< everything but the convolutions of residual blocks
};

/// A filter, compiled.
class QuantizerFilter {
 public:
  /// `component`: vae and video_decoder have filters of their own.
  QuantizerFilter(NameFilter filter, const std::string& component);

  /// Whether the quantizer of this path is switched off. Source: ModelOpt reference 2.4.
  bool disables(const std::string& quantizer) const;

 private:
  NameFilter filter_;
  Regex pattern_;
};

}  // namespace ditq
