#pragma once
// Pictures: 8-bit RGB in memory, PNG or JPEG on disk.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ditq {

/// 8-bit RGB, rows top to bottom, [height, width, 3].
struct Picture {
  std::int64_t width = 0;
  std::int64_t height = 0;
  std::vector<std::uint8_t> pixels;
};

/// Writes a PNG through a temporary name beside it. `text` becomes tEXt chunks (latin-1 keys, UTF-8 values in iTXt).
/// Errors: storage, bad_picture (empty, or larger than PNG allows).
void write_png(const std::string& path,
               const Picture& picture,
               const std::map<std::string, std::string>& text = {});

/// The same PNG in memory. Errors: bad_picture.
std::string encode_png(const Picture& picture, const std::map<std::string, std::string>& text = {});

/// Largest picture that is read, in pixels: 400 MB in memory. A file of a few kB can announce any size.
inline constexpr std::int64_t kMaxPixels = std::int64_t{1} << 27;
/// Largest file that is read, in bytes.
inline constexpr std::uint64_t kMaxPictureFile = std::uint64_t{1} << 30;

/// Reads a PNG of any colour type and depth as 8-bit RGB; alpha is dropped, as Pillow's convert("RGB") drops it.
/// Errors: file_not_found, file_unreadable, bad_picture (also for more than kMaxPixels).
Picture read_png(const std::string& path);

/// Reads a JPEG, baseline or progressive, of grey or YCbCr values, as Pillow reads it (libjpeg's accurate transform,
/// smooth upsampling); orientation tags are not applied, as Pillow's open does not apply them.
/// Errors: file_not_found, file_unreadable, bad_picture (damaged, cut off, CMYK, more than kMaxPixels).
Picture read_jpeg(const std::string& path);

/// What a file's first bytes say it is.
enum class FileKind { png, jpeg, webp, gif, other };

/// Looks at the content, whatever the name says. Errors: file_not_found, file_unreadable.
FileKind file_kind(const std::string& path);

/// Reads a PNG or a JPEG, told by its content. Errors: as the readers; unsupported for WebP and GIF, which are named;
/// bad_picture for everything else.
Picture read_picture(const std::string& path);

}  // namespace ditq
