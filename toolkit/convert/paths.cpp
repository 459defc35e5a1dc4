#include "convert/paths.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/file.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

fs::path absolute_path(const std::string& path, const std::string& flag) {
  if (path.empty()) throw Error(ErrorCode::usage, flag + " is required");
  return fs::absolute(expand_user(path)).lexically_normal();
}

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

// Torch checkpoints in a folder: what somebody who named the folder may have meant.
std::string checkpoints_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code status;
  for (fs::directory_iterator entry(folder, status); !status && entry != fs::directory_iterator();
       entry.increment(status)) {
    if (entry->path().extension() == ".pt") names.push_back(entry->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return fmt::format("{}", fmt::join(names, ", "));
}

// Whether `inner` is `outer` or lies below it; both resolved.
bool contains(const fs::path& outer, const fs::path& inner) {
  const auto [end, rest] = std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end());
  return end == outer.end();
}

}  // namespace

std::string resolve_transformer_dir(const std::string& path, const std::string& flag) {
  const fs::path folder = absolute_path(path, flag);
  for (const fs::path& candidate : {folder, folder / "transformer"}) {
    if (is_file(candidate / "config.json")) return candidate.string();
  }
  const bool exists = is_folder(folder);
  throw Error(ErrorCode::file_not_found, flag + " names no transformer folder",
              {.path = folder.string(),
               .expected = "config.json in it or in its transformer/ sub-folder",
               .found = exists             ? "a folder without either"
                        : is_there(folder) ? "a file"
                                           : "nothing"});
}

std::string resolve_backbone(const std::string& path) {
  const fs::path place = absolute_path(path, "--modelopt-backbone-ckpt");
  if (is_file(place)) return place.string();
  if (is_file(place / "backbone.pt")) return (place / "backbone.pt").string();
  const std::string others = is_folder(place) ? checkpoints_in(place) : "";
  throw Error(ErrorCode::file_not_found, "--modelopt-backbone-ckpt names no torch checkpoint",
              {.path = place.string(),
               .expected = "a .pt file, or a folder with backbone.pt",
               .found = !is_folder(place) ? "nothing"
                        : others.empty()  ? "a folder without one"
                                          : "a folder with " + others,
               .advice = others.empty() ? "" : "Name the file itself"});
}

std::string resolve_output_dir(const std::string& path) {
  fs::path folder = absolute_path(path, "--output-dir");
  std::error_code status;
  fs::path resolved = fs::weakly_canonical(folder, status);
  if (status) resolved = folder;
  if (!resolved.has_filename()) resolved = resolved.parent_path();
  if (!resolved.has_filename()) {
    throw Error(ErrorCode::usage, "--output-dir cannot be a root folder", {.path = path});
  }
  return resolved.string();
}

void check_overlap(const std::string& output, const std::vector<std::string>& inputs) {
  for (const std::string& input : inputs) {
    std::error_code status;
    const fs::path resolved = fs::weakly_canonical(input, status);
    const bool inside = contains(resolved, output);
    if (status || (!inside && !contains(output, resolved))) continue;
    throw Error(
        ErrorCode::output_overlaps,
        inside ? "the output folder lies in an input" : "an input lies in the output folder",
        {.path = output,
         .found = fmt::format("input {}", input),
         .advice = "Choose another --output-dir"});
  }
}

}  // namespace ditq
