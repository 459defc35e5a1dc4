#include "report/picture_copies.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>

#include <openssl/evp.h>

#include "base/error.h"

namespace ditq {
namespace {

std::size_t index(std::int64_t value) {
  return static_cast<std::size_t>(value);
}

/// The pixels of a length that one pixel of a shorter length covers: [begin, end).
struct Span {
  std::int64_t begin;
  std::int64_t end;
};
Span covered(std::int64_t place, std::int64_t length, std::int64_t shorter) {
  return {place * length / shorter,
          std::max((place + 1) * length / shorter, place * length / shorter + 1)};
}

/// 256 colours that grow lighter evenly, told apart with every kind of colour vision.
std::array<std::array<std::uint8_t, 3>, 256> heat_colors() {
  constexpr std::array<std::array<double, 3>, 6> kStops = {
      {{6, 5, 14}, {60, 18, 98}, {140, 41, 104}, {214, 72, 66}, {250, 150, 40}, {252, 248, 190}}};
  std::array<std::array<std::uint8_t, 3>, 256> out{};
  for (std::size_t i = 0; i < out.size(); ++i) {
    const double place = static_cast<double>(i) / 255 * (kStops.size() - 1);
    const std::size_t stop = std::min(static_cast<std::size_t>(place), kStops.size() - 2);
    const double share = place - static_cast<double>(stop);
    for (std::size_t c = 0; c < 3; ++c) {
      const double value = kStops[stop][c] * (1 - share) + kStops[stop + 1][c] * share;
      out[i][c] = static_cast<std::uint8_t>(std::lround(value));
    }
  }
  return out;
}

}  // namespace

int Difference::largest() const {
  return values.empty() ? 0 : *std::max_element(values.begin(), values.end());
}

int Difference::usual_largest() const {
  std::array<std::uint64_t, 256> counts{};
  for (const std::uint8_t value : values) ++counts[value];
  std::uint64_t above = values.size() / 1000;
  int level = 255;
  while (level > 0 && counts[index(level)] <= above) above -= counts[index(level--)];
  return level;
}

std::optional<Difference> difference(const Picture& reference, const Picture& candidate) {
  if (reference.width < 1 || reference.height < 1 || reference.width != candidate.width ||
      reference.height != candidate.height) {
    return std::nullopt;
  }
  Difference out{.width = reference.width, .height = reference.height, .values = {}};
  out.values.resize(index(out.width * out.height));
  for (std::size_t i = 0; i < out.values.size(); ++i) {
    int largest = 0;
    for (std::size_t c = 0; c < 3; ++c) {
      largest =
          std::max(largest, std::abs(reference.pixels[3 * i + c] - candidate.pixels[3 * i + c]));
    }
    out.values[i] = static_cast<std::uint8_t>(largest);
  }
  return out;
}

CopySize copy_size(std::int64_t width, std::int64_t height, std::int64_t pixels) {
  if (width * height <= pixels) return {.width = width, .height = height};
  const double scale = std::sqrt(static_cast<double>(pixels) / static_cast<double>(width * height));
  const auto scaled = [&](std::int64_t side) {
    return std::clamp<std::int64_t>(static_cast<std::int64_t>(static_cast<double>(side) * scale), 1,
                                    side);
  };
  return {.width = scaled(width), .height = scaled(height)};
}

Picture smaller(const Picture& picture, CopySize size) {
  if (size.width == picture.width && size.height == picture.height) return picture;
  Picture out{.width = size.width, .height = size.height, .pixels = {}};
  out.pixels.reserve(index(size.width * size.height * 3));
  for (std::int64_t y = 0; y < size.height; ++y) {
    const Span rows = covered(y, picture.height, size.height);
    for (std::int64_t x = 0; x < size.width; ++x) {
      const Span columns = covered(x, picture.width, size.width);
      std::array<std::int64_t, 3> sums{};
      for (std::int64_t row = rows.begin; row < rows.end; ++row) {
        for (std::int64_t column = columns.begin; column < columns.end; ++column) {
          const std::size_t at = index((row * picture.width + column) * 3);
          for (std::size_t c = 0; c < 3; ++c) sums[c] += picture.pixels[at + c];
        }
      }
      const std::int64_t count = (rows.end - rows.begin) * (columns.end - columns.begin);
      for (const std::int64_t sum : sums) {
        out.pixels.push_back(static_cast<std::uint8_t>((sum + count / 2) / count));
      }
    }
  }
  return out;
}

Picture difference_map(const Difference& difference, CopySize size, int gain) {
  static const auto colors = heat_colors();
  Picture out{.width = size.width, .height = size.height, .pixels = {}};
  out.pixels.reserve(index(size.width * size.height * 3));
  for (std::int64_t y = 0; y < size.height; ++y) {
    const Span rows = covered(y, difference.height, size.height);
    for (std::int64_t x = 0; x < size.width; ++x) {
      const Span columns = covered(x, difference.width, size.width);
      int largest = 0;
      for (std::int64_t row = rows.begin; row < rows.end; ++row) {
        for (std::int64_t column = columns.begin; column < columns.end; ++column) {
          largest =
              std::max<int>(largest, difference.values[index(row * difference.width + column)]);
        }
      }
      const auto& color = colors[index(std::min(255, largest * gain))];
      out.pixels.insert(out.pixels.end(), color.begin(), color.end());
    }
  }
  return out;
}

std::string base64(std::string_view bytes) {
  // One NUL more than the digits.
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                     reinterpret_cast<const unsigned char*>(bytes.data()),
                                     static_cast<int>(bytes.size()));
  DITQ_ASSERT(static_cast<std::size_t>(length) + 1 == out.size());
  out.pop_back();
  return out;
}

std::string data_uri(const Picture& picture) {
  return "data:image/png;base64," + base64(encode_png(picture));
}

}  // namespace ditq
