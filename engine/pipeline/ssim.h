#pragma once
// Structural similarity of two pictures.

#include "media/picture.h"

namespace ditq {

/// Pixels of the window's side: the least width and height that ssim takes.
inline constexpr std::int64_t kSsimWindow = 7;

/// Mean structural similarity: a uniform 7 x 7 window, sample covariance, K1 0.01, K2 0.03, data
/// range 255, each channel by itself, borders of half a window left out. 1 for equal pictures. In
/// double precision; window sums are exact.
/// Shapes: equal sizes of at least 7 x 7 (checked by the caller).
/// Source: scikit-image structural_similarity(data_range=255, channel_axis=-1); Wang, Bovik,
/// Sheikh, Simoncelli 2004.
double ssim(const Picture& reference, const Picture& candidate);

}  // namespace ditq
