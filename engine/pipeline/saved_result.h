#pragma once
// What a saved result is: a trajectory, a picture, or the frames of a video.

#include <string>

namespace ditq {

enum class ResultKind { trajectory, picture, frames };

/// "a trajectory", "a picture", "a video".
const char* name_of(ResultKind kind);

/// Tells trajectories by the ending .safetensors, videos and folders as is_frames does, and pictures by their content,
/// or by the ending .png, .jpg or .jpeg where that is damaged.
/// Errors: file_not_found; unsupported for other files, which are named.
ResultKind result_kind(const std::string& path);

/// The kind that both files have.
/// Errors: usage (one is missing, or their kinds differ); as result_kind.
ResultKind common_result_kind(const std::string& reference, const std::string& candidate);

}  // namespace ditq
