#include "media/picture.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/error.h"
#include "base/file.h"

namespace ditq {

FileKind file_kind(const std::string& path) {
  const auto file = InputFile::open(path);
  std::vector<std::byte> bytes(static_cast<std::size_t>(std::min<std::uint64_t>(file->size(), 12)));
  file->read(0, bytes);
  const std::string_view start(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (start.starts_with("\x89PNG\r\n\x1a\n")) return FileKind::png;
  if (start.starts_with("\xff\xd8\xff")) return FileKind::jpeg;
  if (start.starts_with("GIF8")) return FileKind::gif;
  if (start.starts_with("RIFF") && start.ends_with("WEBP")) return FileKind::webp;
  return FileKind::other;
}

Picture read_picture(const std::string& path) {
  const FileKind kind = file_kind(path);
  if (kind == FileKind::png) return read_png(path);
  if (kind == FileKind::jpeg) return read_jpeg(path);
  constexpr const char* kReadable = "PNG or JPEG";
  if (kind == FileKind::other) {
    throw Error(ErrorCode::bad_picture, "the file is no picture",
                {.path = path, .expected = kReadable});
  }
  throw Error(
      ErrorCode::unsupported, "pictures of this kind are not read",
      {.path = path, .expected = kReadable, .found = kind == FileKind::webp ? "WebP" : "GIF"});
}

}  // namespace ditq
