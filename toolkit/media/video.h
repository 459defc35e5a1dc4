#pragma once
// Videos through FFmpeg's libraries. They and the module that calls them are opened when the first video is.

#include <memory>
#include <string>

#include "media/frames.h"

namespace ditq {

/// Decodes the best video stream of a file. Frames are 8-bit RGB, converted as ffmpeg's own command line converts them.
/// Errors: unsupported (the module or FFmpeg's libraries are not there: which Debian packages bring them), file_not_found,
/// bad_picture (no video, damaged, frames of more than kMaxPixels or of changing size).
std::unique_ptr<FrameSource> open_video(const std::string& path);

/// Increased whenever FrameSource, Picture or Error change; a module of another number is refused.
inline constexpr int kVideoInterface = 1;

}  // namespace ditq

extern "C" {
/// What the module offers: its interface number, and a new decoder. Errors: as open_video.
int ditq_video_interface();
ditq::FrameSource* ditq_video_open(const char* path);
}
