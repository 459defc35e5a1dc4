#include "prompts.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

namespace ditq {
namespace {

void check_count(std::size_t count, const std::string& path) {
  if (count <= kMaxPrompts) return;
  throw Error(
      ErrorCode::bad_text, "prompts: the file holds too many",
      {.path = path, .expected = fmt::format("at most {}", kMaxPrompts), .advice = "Split it"});
}

std::vector<std::string> read_json_list(const std::string& path) {
  std::vector<std::string> prompts;
  const Json document = parse_json(read_text(path, kMaxPromptsFile), path);
  if (!document.is_array()) {
    throw Error(ErrorCode::json_type, "prompts: the document is no list of strings",
                {.path = path});
  }
  check_count(document.size(), path);
  for (const Json& prompt : document) {
    if (!prompt.is_string()) {
      throw Error(ErrorCode::json_type, "prompts: a prompt is no string",
                  {.path = path, .found = dump_json(prompt)});
    }
    prompts.push_back(prompt.get<std::string>());
  }
  return prompts;
}

}  // namespace

std::vector<std::string> read_prompts(const std::string& path) {
  if (path.ends_with(".json")) return read_json_list(path);
  std::string text = read_text(path, kMaxPromptsFile);
  if (text.starts_with("\xef\xbb\xbf")) text.erase(0, 3);
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    if (line.ends_with('\r')) line.pop_back();
    check_count(lines.size() + 1, path);
    lines.push_back(std::move(line));
    at = end + 1;
  }
  return lines;
}

std::vector<std::string> read_prompts_to_generate(const std::string& path) {
  std::vector<std::string> prompts = read_prompts(path);
  const std::size_t blank = std::erase_if(prompts, [](const std::string& line) {
    return line.find_first_not_of(" \t") == std::string::npos;
  });
  if (prompts.empty()) {
    throw Error(ErrorCode::bad_text, "--prompts-file: the file holds no prompt", {.path = path});
  }
  if (blank != 0)
    log_info(fmt::format("{}: {} blank line{} left out", path, blank, blank == 1 ? "" : "s"));
  return prompts;
}

}  // namespace ditq
