#pragma once
// Pictures made from a rule, which Python can make again: values of other libraries are recorded of them.

#include <string>

#include "media/picture.h"

namespace ditq::test {

/// Value (x, y, c) is ((7 x + 13 y + 29 c + 5 k) xor (x y / 3 + 11 k)) mod 256.
inline Picture rule_picture(std::int64_t width, std::int64_t height, std::int64_t k = 0) {
  Picture out{.width = width, .height = height, .pixels = {}};
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      for (std::int64_t c = 0; c < 3; ++c) {
        const std::int64_t value = (7 * x + 13 * y + 29 * c + 5 * k) ^ (x * y / 3 + 11 * k);
        out.pixels.push_back(static_cast<std::uint8_t>(value & 255));
      }
    }
  }
  return out;
}

/// A disc on a flat ground, with soft edges one pixel wide: what models/tiny-flux draws.
inline Picture disc_picture(std::int64_t side, std::int64_t shift = 0) {
  Picture out{.width = side, .height = side, .pixels = {}};
  for (std::int64_t y = 0; y < side; ++y) {
    for (std::int64_t x = 0; x < side; ++x) {
      const std::int64_t dx = x - side / 2 - shift;
      const std::int64_t dy = y - side / 2;
      const bool inside = dx * dx + dy * dy < side * side / 16;
      out.pixels.insert(out.pixels.end(), {static_cast<std::uint8_t>(inside ? 200 : 15),
                                           static_cast<std::uint8_t>(inside ? 40 : 20),
                                           static_cast<std::uint8_t>(inside ? 35 : 80)});
    }
  }
  return out;
}

/// Every pixel of one colour.
inline Picture flat_picture(std::int64_t side, std::uint8_t r, std::uint8_t g, std::uint8_t b) {
  Picture out{.width = side, .height = side, .pixels = {}};
  for (std::int64_t i = 0; i < side * side; ++i) {
    out.pixels.insert(out.pixels.end(), {r, g, b});
  }
  return out;
}

/// Independent bytes from a linear congruential generator. `levels`: how many values there are.
inline Picture noise_picture(std::int64_t side, std::uint32_t levels = 256) {
  Picture out{.width = side, .height = side, .pixels = {}};
  std::uint32_t state = 12345;
  for (std::int64_t i = 0; i < side * side * 3; ++i) {
    state = state * 1664525 + 1013904223;
    out.pixels.push_back(static_cast<std::uint8_t>((state >> 16) % levels * (255 / (levels - 1))));
  }
  return out;
}

/// An AVI of uncompressed frames of one size, which every reader gives back bit for bit.
std::string avi_of(const std::vector<Picture>& frames);

/// Position-weighted sum of all values, as a short stand-in for them.
inline std::int64_t weighted_sum(const Picture& picture) {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < picture.pixels.size(); ++i) {
    sum += std::int64_t{picture.pixels[i]} * static_cast<std::int64_t>(i % 251);
  }
  return sum;
}

}  // namespace ditq::test
