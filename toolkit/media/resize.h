#pragma once
// Pictures of other sizes, bit for bit as Pillow makes them.

#include "media/picture.h"

namespace ditq {

/// Bicubic resampling with antialias: first the columns, then the rows, each rounded to 8 bits; a side that keeps its
/// length is left alone. Sizes are at least 1.
/// Source: Pillow 12 Resample.c (8 bits per channel, a = -0.5, weights of 22 bits).
Picture resize_bicubic(const Picture& picture, std::int64_t width, std::int64_t height);

/// The middle of a picture that is at least as large; what is left over halves towards the upper left.
Picture center_crop(const Picture& picture, std::int64_t width, std::int64_t height);

}  // namespace ditq
