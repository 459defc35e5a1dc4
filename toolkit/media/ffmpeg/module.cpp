// Frames of videos by FFmpeg's libraries: a module of its own, so that ditq needs them only when it reads a video.
// Source: FFmpeg 5.1's API (libavformat, libavcodec, libswscale).

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/imgutils.h>
#include <libswscale/swscale.h>
}

#include <array>
#include <memory>

#include <fmt/format.h>

#include "base/error.h"
#include "base/file.h"
#include "media/video.h"

namespace ditq {
namespace {

/// Frees one of FFmpeg's objects by the function that takes a pointer to the pointer.
template <auto free>
struct Free {
  template <typename T>
  void operator()(T* object) const {
    free(&object);
  }
};

using Container = std::unique_ptr<AVFormatContext, Free<avformat_close_input>>;
using Decoder = std::unique_ptr<AVCodecContext, Free<avcodec_free_context>>;
using Frame = std::unique_ptr<AVFrame, Free<av_frame_free>>;
using Packet = std::unique_ptr<AVPacket, Free<av_packet_free>>;

struct FreeScaler {
  void operator()(SwsContext* scaler) const { sws_freeContext(scaler); }
};
using Scaler = std::unique_ptr<SwsContext, FreeScaler>;

std::string text_of(int error) {
  std::array<char, AV_ERROR_MAX_STRING_SIZE> text{};
  av_strerror(error, text.data(), text.size());
  return text.data();
}

class Video : public FrameSource {
 public:
  explicit Video(const std::string& path) : path_(path) {
    av_log_set_level(AV_LOG_QUIET);
    open_container();
    open_decoder();
    frame_.reset(av_frame_alloc());
    packet_.reset(av_packet_alloc());
    if (frame_ == nullptr || packet_ == nullptr) out_of_memory();
  }

  bool next(Picture& picture) override {
    while (true) {
      const int error = avcodec_receive_frame(decoder_.get(), frame_.get());
      if (error == 0) {
        convert(picture);
        return true;
      }
      if (error == AVERROR_EOF) return false;
      if (error != AVERROR(EAGAIN)) refuse("a frame cannot be decoded", text_of(error));
      feed();
    }
  }

 private:
  [[noreturn]] void refuse(const std::string& sentence, const std::string& found) const {
    throw Error(ErrorCode::bad_picture, "not a usable video: " + sentence,
                {.path = path_, .found = found});
  }
  [[noreturn]] static void out_of_memory() {
    throw Error(ErrorCode::out_of_memory, "no memory for a video's decoder");
  }

  void open_container() {
    // Only a file: a name that looks like a protocol is none.
    AVFormatContext* container = nullptr;
    int error = avformat_open_input(&container, ("file:" + path_).c_str(), nullptr, nullptr);
    if (error < 0) refuse("it cannot be opened", text_of(error));
    container_.reset(container);
    error = avformat_find_stream_info(container, nullptr);
    if (error < 0) refuse("its streams cannot be read", text_of(error));
  }

  void open_decoder() {
    const AVCodec* codec = nullptr;
    stream_ = av_find_best_stream(container_.get(), AVMEDIA_TYPE_VIDEO, -1, -1, &codec, 0);
    if (stream_ < 0) refuse("it has no video that can be decoded", text_of(stream_));
    decoder_.reset(avcodec_alloc_context3(codec));
    if (decoder_ == nullptr) out_of_memory();
    int error =
        avcodec_parameters_to_context(decoder_.get(), container_->streams[stream_]->codecpar);
    decoder_->max_pixels = kMaxPixels;
    // A damaged frame is an error, not a guess.
    decoder_->err_recognition |= AV_EF_EXPLODE;
    if (error >= 0) error = avcodec_open2(decoder_.get(), codec, nullptr);
    if (error < 0) refuse("its decoder does not open", text_of(error));
  }

  /// Gives the decoder the next packet of the stream, or the end.
  void feed() {
    while (true) {
      const int error = av_read_frame(container_.get(), packet_.get());
      if (error == AVERROR_EOF) {
        avcodec_send_packet(decoder_.get(), nullptr);
        return;
      }
      if (error < 0) refuse("it cannot be read to its end", text_of(error));
      const bool ours = packet_->stream_index == stream_;
      const int sent = ours ? avcodec_send_packet(decoder_.get(), packet_.get()) : 0;
      av_packet_unref(packet_.get());
      if (sent < 0) refuse("a packet is damaged", text_of(sent));
      if (ours) return;
    }
  }

  /// The scaler for frames like the current one: bicubic chroma, the frame's own matrix and range, as ffmpeg's command
  /// line sets it.
  void prepare_scaler() {
    const AVFrame& frame = *frame_;
    scaler_.reset(sws_getCachedContext(
        scaler_.release(), frame.width, frame.height, static_cast<AVPixelFormat>(frame.format),
        frame.width, frame.height, AV_PIX_FMT_RGB24, SWS_BICUBIC, nullptr, nullptr, nullptr));
    if (scaler_ == nullptr) refuse("its pixels cannot be converted", "an unknown pixel format");
    const int* matrix = sws_getCoefficients(frame.colorspace);
    sws_setColorspaceDetails(scaler_.get(), matrix, frame.color_range == AVCOL_RANGE_JPEG ? 1 : 0,
                             matrix, 1, 0, 1 << 16, 1 << 16);
  }

  void convert(Picture& picture) {
    const AVFrame& frame = *frame_;
    if (frame.width < 1 || frame.height < 1 ||
        std::int64_t{frame.width} * frame.height > kMaxPixels) {
      refuse("a frame's size is out of range", fmt::format("{} x {}", frame.width, frame.height));
    }
    prepare_scaler();
    picture.width = frame.width;
    picture.height = frame.height;
    picture.pixels.resize(static_cast<std::size_t>(picture.width * picture.height) * 3);
    // swscale writes whole vectors, also behind the last pixel of a row: its rows get room for that.
    const int stride = av_image_get_linesize(AV_PIX_FMT_RGB24, frame.width + 32, 0);
    rows_.resize(static_cast<std::size_t>(stride) * static_cast<std::size_t>(frame.height) + 64);
    const std::array<std::uint8_t*, 4> planes{rows_.data(), nullptr, nullptr, nullptr};
    const std::array<int, 4> strides{stride, 0, 0, 0};
    sws_scale(scaler_.get(), frame.data, frame.linesize, 0, frame.height, planes.data(),
              strides.data());
    const auto width = static_cast<std::size_t>(picture.width) * 3;
    for (std::size_t y = 0; y < static_cast<std::size_t>(picture.height); ++y) {
      const std::uint8_t* row = rows_.data() + y * static_cast<std::size_t>(stride);
      std::copy(row, row + width, picture.pixels.data() + y * width);
    }
    av_frame_unref(frame_.get());
  }

  std::string path_;
  Container container_;
  Decoder decoder_;
  Scaler scaler_;
  Frame frame_;
  Packet packet_;
  int stream_ = -1;
  std::vector<std::uint8_t> rows_;
};

}  // namespace
}  // namespace ditq

int ditq_video_interface() {
  return ditq::kVideoInterface;
}

ditq::FrameSource* ditq_video_open(const char* path) {
  ditq::InputFile::open(path);  // says better than FFmpeg what is wrong with a name
  return new ditq::Video(path);
}
