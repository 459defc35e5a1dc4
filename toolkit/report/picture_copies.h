#pragma once
// The copies of pictures that a page shows: smaller where they are large, and the map of a pair's difference.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "media/picture.h"

namespace ditq {

/// How different two pictures are, pixel by pixel: the largest of the three channels' distances, 0 to 255.
struct Difference {
  std::int64_t width = 0;
  std::int64_t height = 0;
  std::vector<std::uint8_t> values;  ///< [height, width]

  /// The largest value.
  int largest() const;
  /// The value that 99.9 % of the pixels do not exceed.
  int usual_largest() const;
};

/// Nothing when a picture is missing or their sizes differ.
std::optional<Difference> difference(const Picture& reference, const Picture& candidate);

/// A size of at most `pixels` pixels in the proportions of width and height, and never larger than they are.
struct CopySize {
  std::int64_t width = 0;
  std::int64_t height = 0;
};
CopySize copy_size(std::int64_t width, std::int64_t height, std::int64_t pixels);

/// A smaller copy: each pixel is the mean of those that it covers.
Picture smaller(const Picture& picture, CopySize size);

/// The difference in colours, from black over violet and orange to pale yellow at 255 / `gain` and above. Where the map
/// is smaller than the pictures, each pixel shows the largest value that it covers.
Picture difference_map(const Difference& difference, CopySize size, int gain);

/// "data:image/png;base64,…".
std::string data_uri(const Picture& picture);

/// Standard base64 with padding.
std::string base64(std::string_view bytes);

}  // namespace ditq
