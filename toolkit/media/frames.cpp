#include "media/frames.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "media/video.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

std::string ending(const fs::path& path) {
  std::string out = path.extension().string();
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

template <std::size_t count>
bool is_one_of(const std::string& text, const std::array<std::string_view, count>& list) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

constexpr std::array<std::string_view, 6> kVideos{".mp4", ".mkv", ".mov", ".webm", ".avi", ".gif"};
constexpr std::array<std::string_view, 3> kPictures{".png", ".jpg", ".jpeg"};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// The run of digits at `at` without leading zeros; `at` moves behind it.
std::string_view number_at(std::string_view text, std::size_t& at) {
  while (at < text.size() && text[at] == '0') ++at;
  const std::size_t first = at;
  while (at < text.size() && is_digit(text[at])) ++at;
  return text.substr(first, at - first);
}

/// frame_2 before frame_10: numbers count by their value.
bool natural_order(const std::string& a, const std::string& b) {
  std::size_t i = 0;
  std::size_t j = 0;
  while (i < a.size() && j < b.size()) {
    if (is_digit(a[i]) && is_digit(b[j])) {
      const std::string_view x = number_at(a, i);
      const std::string_view y = number_at(b, j);
      if (x.size() != y.size()) return x.size() < y.size();
      if (x != y) return x < y;
    } else {
      if (a[i] != b[j]) return a[i] < b[j];
      ++i;
      ++j;
    }
  }
  return a.size() - i != b.size() - j ? a.size() - i < b.size() - j : a < b;
}

/// The pictures of a folder.
class FrameFolder : public FrameSource {
 public:
  explicit FrameFolder(const std::string& path) {
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(path, error)) {
      if (is_one_of(ending(entry.path()), kPictures)) {
        names_.push_back(entry.path().filename().string());
      }
    }
    if (error) {
      throw Error(ErrorCode::file_unreadable, "the folder cannot be read",
                  {.path = path, .found = error.message()});
    }
    if (names_.empty()) {
      throw Error(ErrorCode::bad_picture, "the folder holds no frames",
                  {.path = path, .expected = "PNG or JPEG files"});
    }
    std::sort(names_.begin(), names_.end(), natural_order);
    folder_ = path;
  }

  bool next(Picture& frame) override {
    if (next_ == names_.size()) return false;
    frame = read_picture((folder_ / names_[next_++]).string());
    return true;
  }

 private:
  fs::path folder_;
  std::vector<std::string> names_;
  std::size_t next_ = 0;
};

}  // namespace

bool is_frames(const std::string& path) {
  return fs::is_directory(path) || is_one_of(ending(path), kVideos);
}

std::unique_ptr<FrameSource> open_frames(const std::string& path) {
  if (fs::is_directory(path)) return std::make_unique<FrameFolder>(path);
  return open_video(path);
}

}  // namespace ditq
