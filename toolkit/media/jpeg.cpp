#include <csetjmp>
#include <cstdio>

#include <fmt/format.h>
#include <jerror.h>
#include <jpeglib.h>

#include "base/error.h"
#include "base/file.h"
#include "media/picture.h"

namespace ditq {
namespace {

/// A progressive file may repeat scans, each of which costs a pass over the whole picture; encoders write about ten. Large
/// pictures get 16 at least.
constexpr int kMaxScans = 100;
constexpr std::int64_t kMaxScannedPixels = 16 * kMaxPixels;

/// libjpeg's error handler with what it jumps back to, and the message of the error that jumped.
struct Errors {
  jpeg_error_mgr base;
  std::jmp_buf place;
  char message[JMSG_LENGTH_MAX];
};

Errors& errors_of(j_common_ptr info) {
  return *reinterpret_cast<Errors*>(info->err);
}

[[noreturn]] void stop(j_common_ptr info) {
  Errors& errors = errors_of(info);
  (*info->err->format_message)(info, errors.message);
  std::longjmp(errors.place, 1);
}

/// Damaged data are reported as warnings, with pixels made up for what is missing.
void on_message(j_common_ptr info, int level) {
  if (level < 0 && info->err->msg_code != JWRN_EXTRANEOUS_DATA) stop(info);
}

[[noreturn]] void stop_with(jpeg_decompress_struct& info, const char* message) {
  Errors& errors = errors_of(reinterpret_cast<j_common_ptr>(&info));
  std::snprintf(errors.message, sizeof errors.message, "%s", message);
  std::longjmp(errors.place, 1);
}

void on_progress(j_common_ptr info) {
  auto& reader = *reinterpret_cast<jpeg_decompress_struct*>(info);
  const std::int64_t pixels = std::int64_t{reader.image_width} * reader.image_height;
  if (reader.input_scan_number > kMaxScans ||
      reader.input_scan_number * pixels > kMaxScannedPixels) {
    stop_with(reader, "the file has too many scans");
  }
}

/// libjpeg's reader with its clean-up.
struct Reader {
  jpeg_decompress_struct info{};
  Errors errors{};
  jpeg_progress_mgr progress{};

  Reader() {
    info.err = jpeg_std_error(&errors.base);
    errors.base.error_exit = stop;
    errors.base.emit_message = on_message;
    progress.progress_monitor = on_progress;
  }
  ~Reader() { jpeg_destroy_decompress(&info); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
};

/// Stops before memory is taken for what cannot be in the file. Like all here it jumps.
void check_size(jpeg_decompress_struct& info, std::size_t bytes) {
  const std::uint64_t pixels = std::uint64_t{info.image_width} * info.image_height;
  if (pixels > static_cast<std::uint64_t>(kMaxPixels)) {
    stop_with(info, "the picture has too many pixels");
  }
  // Each block of 8 x 8 values of the finest component takes at least one bit.
  constexpr std::uint64_t kMostCompression = 512;
  if (pixels / kMostCompression > bytes) stop_with(info, "the file is too short for its picture");
}

/// Decodes; false when libjpeg gave up (then errors.message says why). Nothing here may need a destructor: errors jump.
bool decode(Reader& reader, const std::vector<std::byte>& bytes, Picture& picture) {
  jpeg_decompress_struct& info = reader.info;
  if (setjmp(reader.errors.place) != 0) return false;
  jpeg_create_decompress(&info);
  info.progress = &reader.progress;
  jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_read_header(&info, TRUE);
  check_size(info, bytes.size());
  info.out_color_space = JCS_RGB;
  jpeg_start_decompress(&info);
  if (info.output_components != 3) stop_with(info, "unexpected number of channels");
  picture.width = info.output_width;
  picture.height = info.output_height;
  picture.pixels.resize(static_cast<std::size_t>(picture.width * picture.height) * 3);
  while (info.output_scanline < info.output_height) {
    JSAMPROW row = picture.pixels.data() +
                   std::size_t{info.output_scanline} * static_cast<std::size_t>(picture.width) * 3;
    jpeg_read_scanlines(&info, &row, 1);
  }
  jpeg_finish_decompress(&info);
  return true;
}

}  // namespace

Picture read_jpeg(const std::string& path) {
  const auto file = InputFile::open(path);
  if (file->size() > kMaxPictureFile) {
    throw Error(ErrorCode::bad_picture, "the file is too large for a picture",
                {.path = path,
                 .expected = fmt::format("at most {} bytes", kMaxPictureFile),
                 .found = fmt::format("{} bytes", file->size())});
  }
  std::vector<std::byte> bytes(static_cast<std::size_t>(file->size()));
  file->read(0, bytes);
  Reader reader;
  Picture picture;
  if (!decode(reader, bytes, picture)) {
    throw Error(ErrorCode::bad_picture,
                fmt::format("not a usable JPEG: {}", std::string(reader.errors.message)),
                {.path = path});
  }
  return picture;
}

}  // namespace ditq
