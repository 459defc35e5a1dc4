#pragma once
// Defects that a result shows by itself, without a bar: a picture of one colour, latents full of NaN. No torch here.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "media/picture.h"

namespace ditq {

/// What a picture's values look like.
struct PictureStatistics {
  std::string colour;    ///< "#rrggbb" where all pixels have it; else empty
  double deviation = 0;  ///< the largest standard deviation of a channel, in levels of 255
  double clipped = 0;    ///< share of all values that are 0 or 255
  bool has_correlation =
      false;  ///< whether the next can be told: large enough, and not of one brightness
  double correlation =
      0;  ///< of the brightness of neighbouring pixels, the larger of the two directions
};

/// One pass over the picture.
PictureStatistics statistics_of(const Picture& picture);

/// What the latents after one step look like.
struct LatentStatistics {
  std::int64_t values = 0;
  std::int64_t non_finite = 0;  ///< NaN or infinite
  bool uniform = false;         ///< all values are one
};

/// Everything that is known of one side's result.
struct ResultHealth {
  std::vector<PictureStatistics> frames;
  std::int64_t decoded_values = 0;     ///< where the pipeline made the picture
  std::int64_t non_finite_pixels = 0;  ///< of them NaN or infinite before they became 8 bits
  std::vector<LatentStatistics> steps;
};

/// A defect by name. Kinds of frames: blank (one colour), constant (hardly anything but one colour), saturated (nearly all
/// values 0 or 255), noise (neighbouring pixels have nothing in common), non_finite (decoded values). Of latents:
/// non_finite, blank.
struct Finding {
  std::string kind;
  std::optional<std::size_t> frame;
  std::optional<std::size_t> step;
  std::string message;  ///< "frame 0 is blank: every pixel is #808080"
};

/// All defects of a result, by frame, then those of its latents.
std::vector<Finding> findings_of(const ResultHealth& health);

/// The candidate's defects that the reference has not, and does not come near to either: a picture just below a limit is
/// not held against one just above it.
std::vector<Finding> new_findings(const ResultHealth& reference, const ResultHealth& candidate);

/// [{"kind", "frame", "step", "message"}]; frame or step is null where the other tells the place.
Json to_json(const std::vector<Finding>& findings);

}  // namespace ditq
