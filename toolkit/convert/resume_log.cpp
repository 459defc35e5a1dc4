#include "convert/resume_log.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "base/error.h"
#include "base/json.h"
#include "base/sha256.h"
#include "base/system_call.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

/// Changes when equal inputs come to mean other bytes.
constexpr const char* kVersion = "ditq shard 1";
constexpr std::uint64_t kMaxLog = std::uint64_t{1} << 26;

[[noreturn]] void raise(const std::string& path, int error) {
  throw Error(ErrorCode::storage, fmt::format("cannot write: {}", std::strerror(error)),
              {.path = path});
}

/// SHA-256 of what tells a file's content without reading all of it: length and header of a safetensors file, which the
/// checkpoint's reader has checked; the end of an archive, where its directory with the checksums of its entries lies.
std::string header_digest(const InputFile& file) {
  constexpr std::uint64_t kDirectory = std::uint64_t{1} << 16;
  constexpr std::uint64_t kArchive = 0x04034b50;  // "PK\3\4"
  std::uint64_t length = 0;
  file.read(0, std::as_writable_bytes(std::span(&length, 1)));
  std::uint64_t begin = 0;
  std::uint64_t size = sizeof(length) + length;
  if ((length & 0xffffffffU) == kArchive) {
    size = std::min(kDirectory, file.size());
    begin = file.size() - size;
  } else if (length > kMaxSafetensorsHeader || size > file.size()) {
    throw Error(ErrorCode::file_changed, "the file changed while it was read",
                {.path = file.path()});
  }
  std::vector<std::byte> head(static_cast<std::size_t>(size));
  file.read(begin, head);
  Sha256 digest;
  digest.update(head);
  return digest.finish();
}

/// Whether a logged name is one that a plan may have: relative, and nowhere above the folder.
bool is_inside(const std::string& name) {
  const fs::path path = name;
  return path.has_filename() && path.is_relative() &&
         std::none_of(path.begin(), path.end(), [](const fs::path& part) { return part == ".."; });
}

/// Appends a line and makes it durable. A line break stands in front, too: a crash may have cut the last line short.
void append_line(const std::string& path, const std::string& text) {
  const std::string line = "\n" + text + "\n";
  const int descriptor = uninterrupted(
      [&] { return ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666); });
  if (descriptor < 0) raise(path, errno);
  const ssize_t count =
      uninterrupted([&] { return ::write(descriptor, line.data(), line.size()); });
  int error = count < 0 ? errno : 0;
  if (count >= 0 && static_cast<std::size_t>(count) < line.size()) error = ENOSPC;
  const auto sync = [&] { return ::fdatasync(descriptor); };
  if (error == 0 && uninterrupted(sync) != 0) error = errno;
  ::close(descriptor);
  if (error != 0) raise(path, error);
}

}  // namespace

const std::string& InputIdentities::of(const InputFile& file) {
  const auto [place, added] = known_.try_emplace(&file);
  if (added) {
    place->second = fmt::format("{}\n{} {} {}\n", file.path(), file.size(), file.stamp().modified,
                                header_digest(file));
  }
  return place->second;
}

std::string fingerprint(const LaidOutShard& shard, InputIdentities& inputs) {
  Sha256 digest;
  digest.update(kVersion);
  digest.update(shard.layout.head);
  for (const PlannedTensor* tensor : shard.tensors) {
    std::uint32_t scale = 0;
    std::memcpy(&scale, &tensor->scale, sizeof(scale));
    const TensorInfo* source = tensor->source();
    digest.update(fmt::format("{} {:08x} ", tensor->quantize != nullptr ? 'q' : 'c', scale));
    if (tensor->recipe != nullptr) digest.update(tensor->recipe->identity());
    digest.update(tensor->literal);
    if (source == nullptr) continue;
    digest.update(fmt::format("{} {} {}", source->offset, source->size, name(source->dtype)));
    digest.update(inputs.of(*source->file));
  }
  return digest.finish();
}

ResumeLog::ResumeLog(std::string folder) : folder_(std::move(folder)) {
  std::string text;
  try {
    text = read_text(path_of(kResumeLogName), kMaxLog);
  } catch (const Error&) {
    return;  // without a readable log everything is written anew
  }
  std::string_view rest = text;
  for (std::size_t end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
    read_line(rest.substr(0, end));
    rest.remove_prefix(end + 1);
  }
}

std::string ResumeLog::path_of(const std::string& name) const {
  return (fs::path(folder_) / name).string();
}

void ResumeLog::read_line(std::string_view line) {
  std::string name;
  Finished finished;
  FileStamp stamp;
  try {
    const Json entry = parse_json(line, path_of(kResumeLogName));
    name = entry.at("name").get<std::string>();
    finished = {.fingerprint = entry.at("fingerprint").get<std::string>(),
                .sha256 = entry.at("sha256").get<std::string>()};
    stamp = {.size = entry.at("size").get<std::uint64_t>(),
             .modified = entry.at("modified").get<std::int64_t>()};
  } catch (const std::exception&) {
    return;
  }
  if (is_inside(name) && stamp_of(path_of(name)) == stamp) finished_[name] = std::move(finished);
}

const std::string* ResumeLog::find(const std::string& name, const std::string& fingerprint) const {
  const auto found = finished_.find(name);
  const bool same = found != finished_.end() && found->second.fingerprint == fingerprint;
  return same ? &found->second.sha256 : nullptr;
}

void ResumeLog::add(const std::string& name,
                    const std::string& fingerprint,
                    const std::string& sha256) {
  const auto stamp = stamp_of(path_of(name));
  if (!stamp) raise(path_of(name), ENOENT);
  const Json entry = {{"name", name},
                      {"fingerprint", fingerprint},
                      {"sha256", sha256},
                      {"size", stamp->size},
                      {"modified", stamp->modified}};
  append_line(path_of(kResumeLogName), dump_json(entry));
  finished_[name] = {.fingerprint = fingerprint, .sha256 = sha256};
}

std::size_t ResumeLog::keep_finished() const {
  std::error_code status;
  std::vector<fs::path> others;
  std::vector<fs::path> folders;
  for (fs::recursive_directory_iterator entry(folder_, status);
       !status && entry != fs::recursive_directory_iterator(); entry.increment(status)) {
    const std::string name = entry->path().lexically_relative(folder_).string();
    if (finished_.contains(name) || (name == kResumeLogName && !finished_.empty())) continue;
    (entry->is_directory() && !entry->is_symlink() ? folders : others).push_back(entry->path());
  }
  for (const fs::path& other : others) {
    if (!status) fs::remove(other, status);
  }
  std::reverse(folders.begin(), folders.end());  // inner ones first
  for (const fs::path& folder : folders) {
    if (!status && fs::is_empty(folder, status) && !status) fs::remove(folder, status);
  }
  if (status) {
    throw Error(ErrorCode::storage,
                fmt::format("cannot clean up what an earlier run left: {}", status.message()),
                {.path = folder_});
  }
  return finished_.size();
}

void ResumeLog::keep_only(const std::set<std::string>& names) {
  std::erase_if(finished_, [&](const auto& entry) { return !names.contains(entry.first); });
  keep_finished();
}

void ResumeLog::remove() const {
  const std::string path = path_of(kResumeLogName);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) raise(path, errno);
}

}  // namespace ditq
