#include "ptq/calibration_prompts.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

namespace ditq {
namespace {

/// Universal newlines, as Python's text files read them.
std::string with_line_feeds(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\r') {
      out += text[i];
    } else if (i + 1 == text.size() || text[i + 1] != '\n') {
      out += '\n';
    }
  }
  return out;
}

void check_utf8(const std::string& text, const std::string& path) {
  try {
    static_cast<void>(Json(text).dump());
  } catch (const Json::exception&) {
    throw Error(ErrorCode::bad_text, "the prompts are not UTF-8", {.path = path});
  }
}

}  // namespace

std::vector<std::string> read_calibration_prompts(const std::string& path,
                                                  std::int64_t calib_size,
                                                  std::int64_t batch_size) {
  DITQ_ASSERT(calib_size > 0 && batch_size > 0);
  const std::string text = with_line_feeds(read_text(path, kMaxCalibrationPrompts));
  check_utf8(text, path);
  const std::int64_t batches = (calib_size - 1) / batch_size + 1;
  std::vector<std::string> prompts;
  for (std::size_t at = 0; at < text.size();) {
    if (static_cast<std::int64_t>(prompts.size()) / batch_size >= batches) break;
    const std::size_t end = std::min(text.find('\n', at), text.size() - 1) + 1;
    prompts.push_back(text.substr(at, end - at));
    at = end;
  }
  if (prompts.empty()) {
    throw Error(ErrorCode::bad_text, "--prompts-file: the file holds no prompt", {.path = path});
  }
  return prompts;
}

}  // namespace ditq
