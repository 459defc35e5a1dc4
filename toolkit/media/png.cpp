#include <csetjmp>
#include <cstring>
#include <span>

#include <fmt/format.h>
#include <png.h>

#include "base/error.h"
#include "base/file.h"
#include "media/picture.h"

namespace ditq {
namespace {

constexpr std::int64_t kMaxSide = 65500;

/// What libpng's callbacks share with their caller: the bytes, and the message of an error that jumped.
struct Stream {
  std::vector<std::byte> bytes;
  std::size_t position = 0;
  std::string error;
};

[[noreturn]] void on_error(png_structp png, png_const_charp message) {
  static_cast<Stream*>(png_get_error_ptr(png))->error = message;
  png_longjmp(png, 1);
}

void on_warning(png_structp, png_const_charp) {}

void append_bytes(png_structp png, png_bytep data, png_size_t size) {
  auto& bytes = static_cast<Stream*>(png_get_io_ptr(png))->bytes;
  const auto* first = reinterpret_cast<const std::byte*>(data);
  bytes.insert(bytes.end(), first, first + size);
}

void take_bytes(png_structp png, png_bytep data, png_size_t size) {
  auto& stream = *static_cast<Stream*>(png_get_io_ptr(png));
  if (stream.bytes.size() - stream.position < size) png_error(png, "the file ends early");
  std::memcpy(data, stream.bytes.data() + stream.position, size);
  stream.position += size;
}

/// libpng's write side with its clean-up.
struct Writer {
  png_structp png;
  png_infop info;
  explicit Writer(Stream& stream)
      : png(png_create_write_struct(PNG_LIBPNG_VER_STRING, &stream, on_error, on_warning)),
        info(png_create_info_struct(png)) {
    png_set_write_fn(png, &stream, append_bytes, nullptr);
  }
  ~Writer() { png_destroy_write_struct(&png, &info); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
};

/// libpng's read side with its clean-up.
struct Reader {
  png_structp png;
  png_infop info;
  explicit Reader(Stream& stream)
      : png(png_create_read_struct(PNG_LIBPNG_VER_STRING, &stream, on_error, on_warning)),
        info(png_create_info_struct(png)) {
    png_set_read_fn(png, &stream, take_bytes);
    png_set_user_limits(png, kMaxSide, kMaxSide);
    // Texts and colour profiles change no pixel here, and compressed ones can unfold to anything.
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  }
  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
};

std::vector<png_text> text_chunks(const std::map<std::string, std::string>& text) {
  std::vector<png_text> chunks;
  for (const auto& [key, value] : text) {
    png_text chunk{};
    chunk.compression = PNG_ITXT_COMPRESSION_NONE;
    chunk.key = const_cast<char*>(key.c_str());
    chunk.text = const_cast<char*>(value.c_str());
    chunk.itxt_length = value.size();
    chunks.push_back(chunk);
  }
  return chunks;
}

/// Encodes; false when libpng gave up (then stream.error says why). Nothing here may need a destructor: errors jump.
bool encode(Writer& writer,
            const Picture& picture,
            std::vector<png_text>& chunks,
            std::vector<png_bytep>& rows) {
  if (setjmp(png_jmpbuf(writer.png)) != 0) return false;
  png_set_IHDR(writer.png, writer.info, static_cast<png_uint_32>(picture.width),
               static_cast<png_uint_32>(picture.height), 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  if (!chunks.empty()) {
    png_set_text(writer.png, writer.info, chunks.data(), static_cast<int>(chunks.size()));
  }
  png_write_info(writer.png, writer.info);
  png_write_image(writer.png, rows.data());
  png_write_end(writer.png, nullptr);
  return true;
}

/// Stops before memory is taken for what cannot be in the file. Like all here it jumps.
void check_size(Reader& reader) {
  const std::uint64_t height = png_get_image_height(reader.png, reader.info);
  const std::uint64_t pixels = height * png_get_image_width(reader.png, reader.info);
  if (pixels > static_cast<std::uint64_t>(kMaxPixels)) {
    png_error(reader.png, "the picture has too many pixels");
  }
  // Deflate writes at most 258 bytes for 2 bits.
  constexpr std::uint64_t kMostCompression = 1032;
  const auto& stream = *static_cast<const Stream*>(png_get_io_ptr(reader.png));
  if (height * png_get_rowbytes(reader.png, reader.info) / kMostCompression > stream.bytes.size()) {
    png_error(reader.png, "the file is too short for its picture");
  }
}

bool decode(Reader& reader, Picture& picture, std::vector<png_bytep>& rows) {
  if (setjmp(png_jmpbuf(reader.png)) != 0) return false;
  png_read_info(reader.png, reader.info);
  check_size(reader);
  png_set_expand(reader.png);
  png_set_scale_16(reader.png);
  png_set_gray_to_rgb(reader.png);
  png_set_strip_alpha(reader.png);
  png_set_interlace_handling(reader.png);
  png_read_update_info(reader.png, reader.info);
  picture.width = png_get_image_width(reader.png, reader.info);
  picture.height = png_get_image_height(reader.png, reader.info);
  if (png_get_rowbytes(reader.png, reader.info) != static_cast<std::size_t>(picture.width) * 3) {
    png_error(reader.png, "unexpected row size");
  }
  picture.pixels.resize(static_cast<std::size_t>(picture.width * picture.height) * 3);
  rows.resize(static_cast<std::size_t>(picture.height));
  for (std::size_t y = 0; y < rows.size(); ++y) {
    rows[y] = picture.pixels.data() + y * static_cast<std::size_t>(picture.width) * 3;
  }
  png_read_image(reader.png, rows.data());
  png_read_end(reader.png, nullptr);
  return true;
}

/// The PNG of a picture; `path` names it in errors.
std::string encoded(const Picture& picture,
                    const std::map<std::string, std::string>& text,
                    const std::string& path) {
  if (picture.width < 1 || picture.height < 1 || picture.width > kMaxSide ||
      picture.height > kMaxSide) {
    throw Error(ErrorCode::bad_picture, "the picture's size is out of range",
                {.path = path,
                 .expected = fmt::format("sides of 1 to {} pixels", kMaxSide),
                 .found = fmt::format("{} x {}", picture.width, picture.height)});
  }
  DITQ_ASSERT(picture.pixels.size() ==
              static_cast<std::size_t>(picture.width * picture.height) * 3);
  Stream stream;
  Writer writer(stream);
  std::vector<png_text> chunks = text_chunks(text);
  std::vector<png_bytep> rows(static_cast<std::size_t>(picture.height));
  for (std::size_t y = 0; y < rows.size(); ++y) {
    rows[y] = const_cast<png_bytep>(picture.pixels.data()) +
              y * static_cast<std::size_t>(picture.width) * 3;
  }
  if (!encode(writer, picture, chunks, rows)) {
    throw Error(ErrorCode::bad_picture, "cannot encode the PNG: " + stream.error, {.path = path});
  }
  return {reinterpret_cast<const char*>(stream.bytes.data()), stream.bytes.size()};
}

}  // namespace

std::string encode_png(const Picture& picture, const std::map<std::string, std::string>& text) {
  return encoded(picture, text, "");
}

void write_png(const std::string& path,
               const Picture& picture,
               const std::map<std::string, std::string>& text) {
  write_text(path, encoded(picture, text, path));
}

Picture read_png(const std::string& path) {
  Stream stream;
  const auto file = InputFile::open(path);
  if (file->size() > kMaxPictureFile) {
    throw Error(ErrorCode::bad_picture, "the file is too large for a picture",
                {.path = path,
                 .expected = fmt::format("at most {} bytes", kMaxPictureFile),
                 .found = fmt::format("{} bytes", file->size())});
  }
  stream.bytes.resize(static_cast<std::size_t>(file->size()));
  file->read(0, stream.bytes);
  Reader reader(stream);
  Picture picture;
  std::vector<png_bytep> rows;
  if (!decode(reader, picture, rows)) {
    throw Error(ErrorCode::bad_picture, "not a usable PNG: " + stream.error, {.path = path});
  }
  return picture;
}

}  // namespace ditq
