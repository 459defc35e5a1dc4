#include "model_path.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "nearest_name.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

/// Source: huggingface_hub constants.py (HF_HOME, HF_HUB_CACHE).
fs::path hub_cache() {
  if (const std::string cache = environment("HF_HUB_CACHE"); !cache.empty())
    return expand_user(cache);
  if (const std::string home = environment("HF_HOME"); !home.empty())
    return fs::path(expand_user(home)) / "hub";
  const std::string xdg = environment("XDG_CACHE_HOME");
  const fs::path cache =
      xdg.empty() ? fs::path(expand_user("~/.cache")) : fs::path(expand_user(xdg));
  return cache / "huggingface/hub";
}

/// "owner/name" in the characters that repository names have, and neither part "." or "..".
bool looks_like_repository(const std::string& path) {
  const auto allowed = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.' || c == '/';
  };
  const std::size_t slash = path.find('/');
  const bool two_parts = slash != std::string::npos && slash != 0 && slash + 1 != path.size() &&
                         path.find('/', slash + 1) == std::string::npos;
  return two_parts && path[0] != '.' && path[slash + 1] != '.' &&
         std::all_of(path.begin(), path.end(), allowed);
}

std::string trimmed(const std::string& text) {
  const std::size_t end = text.find_last_not_of(" \t\r\n");
  return end == std::string::npos ? std::string() : text.substr(0, end + 1);
}

/// The snapshot that refs/main names, or an empty path.
fs::path cached_snapshot(const std::string& repository) {
  const std::size_t slash = repository.find('/');
  const fs::path folder = hub_cache() / fmt::format("models--{}--{}", repository.substr(0, slash),
                                                    repository.substr(slash + 1));
  const fs::path reference = folder / "refs/main";
  std::error_code error;
  if (!fs::is_regular_file(reference, error)) return {};
  const fs::path snapshot = folder / "snapshots" / trimmed(read_text(reference.string(), 4096));
  return fs::is_directory(snapshot, error) ? snapshot : fs::path();
}

}  // namespace

std::string resolve_model_path(const std::string& path, const std::string& flag) {
  std::error_code error;
  if (fs::exists(path, error)) return path;
  if (!looks_like_repository(path)) {
    throw Error(ErrorCode::file_not_found, flag + ": there is no such file or folder",
                {.path = path});
  }
  const fs::path snapshot = cached_snapshot(path);
  if (snapshot.empty()) {
    throw Error(
        ErrorCode::file_not_found,
        fmt::format("{}: '{}' is neither a folder nor a repository in the local Hugging Face cache",
                    flag, path),
        {.path = hub_cache().string(),
         .advice = "ditq downloads nothing itself; run: hf download " + path});
  }
  log_verbose(fmt::format("{}: {} is {}", flag, path, snapshot.string()));
  return snapshot.string();
}

std::optional<std::vector<std::string>> component_names(const std::string& model_path) {
  const fs::path file = fs::path(model_path) / "model_index.json";
  std::error_code error;
  if (!fs::is_regular_file(file, error)) return std::nullopt;
  std::vector<std::string> out;
  const Json index = read_json(file.string());
  if (!index.is_object()) return out;
  for (const auto& [name, value] : index.items()) {
    if (value.is_array()) out.push_back(name);
  }
  return out;
}

void check_components(const std::string& model_path,
                      const std::map<std::string, std::string>& components) {
  if (components.empty()) return;
  const auto names = component_names(model_path);
  if (!names) return;
  const std::vector<std::string>& known = *names;
  for (const auto& [component, path] : components) {
    if (std::find(known.begin(), known.end(), component) != known.end()) continue;
    std::string flag = component + "-path";
    std::replace(flag.begin(), flag.end(), '_', '-');
    const std::string near = nearest_name(component, known);
    throw Error(ErrorCode::usage,
                fmt::format("--{}: the pipeline has no component '{}'", flag, component),
                {.path = model_path,
                 .advice = near.empty() ? fmt::format("It has {}", fmt::join(known, ", "))
                                        : fmt::format("Did you mean {}?", near)});
  }
}

}  // namespace ditq
