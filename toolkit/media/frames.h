#pragma once
// Frames of videos, one after the other.

#include <memory>
#include <string>

#include "media/picture.h"

namespace ditq {

/// A sequence of pictures, of which one at a time is in memory.
class FrameSource {
 public:
  virtual ~FrameSource() = default;
  /// Reads the next frame; false behind the last one. Errors: bad_picture, and those of read_picture.
  virtual bool next(Picture& frame) = 0;
};

/// Whether the path is a folder or is named as a video is (.mp4, .mkv, .mov, .webm, .avi, .gif).
bool is_frames(const std::string& path);

/// Opens a folder of PNG and JPEG files, in the order of their names (digits as numbers), or a video through FFmpeg.
/// Errors: bad_picture (no frames, not a video), unsupported (FFmpeg is not here), those of read_picture.
std::unique_ptr<FrameSource> open_frames(const std::string& path);

}  // namespace ditq
