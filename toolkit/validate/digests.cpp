#include "validate/digests.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "base/progress.h"
#include "base/sha256.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kBlock = std::uint64_t{8} << 20;

/// Reads a whole file. A bar is shown for files that take a while.
std::string digest_of(const InputFile& file) {
  const AlignedBuffer buffer(kBlock + 2 * kDirectAlignment);
  constexpr std::uint64_t kLarge = std::uint64_t{1} << 30;
  const bool large = file.size() >= kLarge;
  ProgressBar bar(large ? "hashing " + fs::path(file.path()).filename().string() : "", file.size(),
                  "B");
  Sha256 digest;
  for (std::uint64_t at = 0; at < file.size(); at += kBlock) {
    check_interrupt();
    const std::uint64_t size = std::min(kBlock, file.size() - at);
    digest.update(file.read_large(at, size, buffer));
    if (large) bar.advance(size);
  }
  if (large) bar.finish();
  file.check_unchanged();
  return digest.finish();
}

/// The folders that a pipeline's model_index.json lists: members that are [library, class].
std::vector<std::string> components_of(const fs::path& index) {
  std::vector<std::string> out;
  const Json document = read_json(index.string());
  if (!document.is_object()) return out;
  for (const auto& [name, value] : document.items()) {
    if (value.is_array() && fs::is_directory(index.parent_path() / name)) out.push_back(name);
  }
  return out;
}

void collect(const fs::path& folder,
             const std::string& prefix,
             std::vector<std::pair<std::string, fs::path>>& out) {
  // Links of a folder may lead in a circle; no checkpoint is this deep.
  constexpr std::size_t kDeepest = 16;
  if (static_cast<std::size_t>(std::count(prefix.begin(), prefix.end(), '/')) > kDeepest) {
    throw Error(ErrorCode::file_unreadable, "folders are nested too deep",
                {.path = folder.string(), .expected = fmt::format("at most {} levels", kDeepest)});
  }
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = prefix + entry.path().filename().string();
    if (entry.is_directory()) {
      collect(entry.path(), name + "/", out);
    } else if (entry.is_regular_file()) {
      out.emplace_back(name, entry.path());
    }
  }
}

}  // namespace

Digests::Digests(std::string cache) : cache_(std::move(cache)) {
  if (!fs::exists(cache_)) return;
  try {
    const Json document = read_json(cache_);
    for (const auto& [path, entry] : document.items()) {
      known_[path] = {.identity = {.inode = entry.at("inode").get<std::uint64_t>(),
                                   .size = entry.at("size").get<std::uint64_t>(),
                                   .modified = entry.at("modified").get<std::int64_t>(),
                                   .changed = entry.at("changed").get<std::int64_t>()},
                      .digest = entry.at("sha256").get<std::string>()};
    }
  } catch (const std::exception&) {
    known_.clear();  // It only saves time.
  }
}

Digests::Identity Digests::identity_of(const InputFile& file) {
  struct stat status {};
  if (::fstat(file.descriptor(), &status) != 0) {
    throw Error(ErrorCode::storage, "cannot be looked at", {.path = file.path()});
  }
  const auto nanoseconds = [](const timespec& time) {
    constexpr std::int64_t kSecond = 1'000'000'000;
    return static_cast<std::int64_t>(time.tv_sec) * kSecond + time.tv_nsec;
  };
  return {.inode = status.st_ino,
          .size = file.size(),
          .modified = nanoseconds(status.st_mtim),
          .changed = nanoseconds(status.st_ctim)};
}

std::string Digests::of_file(const std::string& path) {
  const auto file = InputFile::open(fs::canonical(path).string());
  Known& known = known_[file->path()];
  const Identity identity = identity_of(*file);
  if (known.digest.empty() || !(known.identity == identity)) {
    known = {.identity = identity, .digest = digest_of(*file)};
  }
  return known.digest;
}

std::vector<RecordedFile> Digests::files_of(const std::string& path) {
  if (!fs::exists(path))
    throw Error(ErrorCode::file_not_found, "no such file or folder", {.path = path});
  std::vector<std::pair<std::string, fs::path>> found;
  const fs::path index = fs::path(path) / "model_index.json";
  if (!fs::is_directory(path)) {
    found.emplace_back(fs::path(path).filename().string(), path);
  } else if (fs::exists(index)) {
    found.emplace_back("model_index.json", index);
    for (const std::string& name : components_of(index))
      collect(fs::path(path) / name, name + "/", found);
  } else {
    collect(path, "", found);
  }
  std::sort(found.begin(), found.end());
  std::vector<RecordedFile> out;
  for (const auto& [name, file] : found) {
    out.push_back({.name = name, .bytes = fs::file_size(file), .sha256 = of_file(file.string())});
  }
  return out;
}

std::string Digests::of_tree(const std::string& path) {
  Sha256 digest;
  if (!fs::exists(path)) return "absent";
  for (const RecordedFile& file : files_of(path)) {
    digest.update(fmt::format("{}\n{}\n", file.sha256, file.name));
  }
  return digest.finish();
}

void Digests::save() const {
  Json document = Json::object();
  for (const auto& [path, known] : known_) {
    document[path] = {{"inode", known.identity.inode},
                      {"size", known.identity.size},
                      {"modified", known.identity.modified},
                      {"changed", known.identity.changed},
                      {"sha256", known.digest}};
  }
  write_text(cache_, dump_json(document, {.indent = 1}));
}

}  // namespace ditq
