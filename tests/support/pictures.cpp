#include "support/pictures.h"

#include <initializer_list>

namespace ditq::test {
namespace {

std::string u32(std::int64_t value) {
  std::string out;
  for (int i = 0; i < 4; ++i) out += static_cast<char>(value >> (8 * i) & 255);
  return out;
}

std::string u16(std::int64_t value) {
  return u32(value).substr(0, 2);
}

std::string u32s(std::initializer_list<std::int64_t> values) {
  std::string out;
  for (const std::int64_t value : values) out += u32(value);
  return out;
}

/// A RIFF chunk, filled up to an even size.
std::string chunk(const std::string& name, const std::string& content) {
  return name + u32(static_cast<std::int64_t>(content.size())) + content +
         std::string(content.size() % 2, '\0');
}

/// Rows bottom to top, blue first, each filled up to four bytes.
std::string bitmap(const Picture& frame) {
  std::string out;
  for (std::int64_t y = frame.height - 1; y >= 0; --y) {
    for (std::int64_t x = 0; x < frame.width; ++x) {
      for (std::int64_t c = 2; c >= 0; --c) {
        out += static_cast<char>(
            frame.pixels[static_cast<std::size_t>((y * frame.width + x) * 3 + c)]);
      }
    }
    out += std::string(static_cast<std::size_t>((4 - frame.width * 3 % 4) % 4), '\0');
  }
  return out;
}

}  // namespace

/// Source: Microsoft, AVI RIFF File Reference; BITMAPINFOHEADER.
std::string avi_of(const std::vector<Picture>& frames) {
  const std::int64_t width = frames.front().width;
  const std::int64_t height = frames.front().height;
  const auto count = static_cast<std::int64_t>(frames.size());
  const auto bytes = static_cast<std::int64_t>(bitmap(frames.front()).size());
  constexpr std::int64_t kFrameMicroseconds = 40000;
  const std::string avih =
      u32s({kFrameMicroseconds, bytes * 25, 0, 0, count, 0, 1, bytes, width, height, 0, 0, 0, 0});
  const std::string strh =
      "vidsDIB " + u32s({0, 0, 0, 1, 25, 0, count, bytes, -1, 0, 0}) + u16(width) + u16(height);
  const std::string strf =
      u32s({40, width, height}) + u16(1) + u16(24) + u32s({0, bytes, 0, 0, 0, 0});
  std::string movi = "movi";
  for (const Picture& frame : frames) movi += chunk("00db", bitmap(frame));
  const std::string strl = chunk("LIST", "strl" + chunk("strh", strh) + chunk("strf", strf));
  return chunk("RIFF",
               "AVI " + chunk("LIST", "hdrl" + chunk("avih", avih) + strl) + chunk("LIST", movi));
}

}  // namespace ditq::test
