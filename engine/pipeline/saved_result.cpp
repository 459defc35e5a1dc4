#include "pipeline/saved_result.h"

#include <algorithm>
#include <cctype>
#include <filesystem>

#include <fmt/format.h>

#include "base/error.h"
#include "media/frames.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

std::string ending(const std::string& path) {
  std::string out = fs::path(path).extension().string();
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

}  // namespace

const char* name_of(ResultKind kind) {
  if (kind == ResultKind::trajectory) return "a trajectory";
  return kind == ResultKind::picture ? "a picture" : "a video";
}

ResultKind result_kind(const std::string& path) {
  if (!fs::exists(path)) throw Error(ErrorCode::file_not_found, "no such file", {.path = path});
  if (is_frames(path)) return ResultKind::frames;
  const std::string found = ending(path);
  if (found == ".safetensors") return ResultKind::trajectory;
  const FileKind content = file_kind(path);
  if (content == FileKind::png || content == FileKind::jpeg) return ResultKind::picture;
  if (content == FileKind::gif) return ResultKind::frames;
  const bool webp = content == FileKind::webp;
  // A damaged picture is refused by its reader, which knows more.
  if (!webp && (found == ".png" || found == ".jpg" || found == ".jpeg")) return ResultKind::picture;
  throw Error(ErrorCode::unsupported, "files of this kind cannot be compared",
              {.path = path,
               .expected = "a trajectory (.safetensors), a picture (PNG, JPEG), a video, or a "
                           "folder of pictures",
               .found = webp            ? "a WebP picture"
                        : found.empty() ? "no file name ending"
                                        : found});
}

ResultKind common_result_kind(const std::string& reference, const std::string& candidate) {
  if (reference.empty() || candidate.empty()) {
    throw Error(ErrorCode::usage, "--reference and --candidate belong together");
  }
  const ResultKind first = result_kind(reference);
  const ResultKind second = result_kind(candidate);
  if (first == second) return first;
  throw Error(ErrorCode::usage, "--reference and --candidate must be of one kind",
              {.path = candidate,
               .expected = fmt::format("{} as {}", name_of(first), reference),
               .found = name_of(second)});
}

}  // namespace ditq
