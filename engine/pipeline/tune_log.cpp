#include "pipeline/tune_log.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail_storage(const std::string& path, const char* what) {
  throw Error(ErrorCode::storage, what, {.path = path, .found = std::strerror(errno)});
}

/// A line as a measurement; nothing where it is none.
std::optional<Json> parsed(const std::string& line, const std::string& path) {
  try {
    Json entry = parse_json(line, path);
    const bool complete = entry.is_object() && entry.contains("inputs") &&
                          entry["inputs"].is_string() && entry.contains("key") &&
                          entry["key"].is_string() && entry.contains("value");
    if (complete) return entry;
  } catch (const Error& error) {
    log_verbose(error.sentence());
  }
  return std::nullopt;
}

/// Appends and waits for the disk.
void append(const std::string& path, const std::string& text) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (file < 0) fail_storage(path, "the log cannot be written");
  const auto written = ::write(file, text.data(), text.size());
  const bool good = written == static_cast<ssize_t>(text.size()) && ::fsync(file) == 0;
  ::close(file);
  if (!good) fail_storage(path, "the log cannot be written");
}

}  // namespace

TuneLog::TuneLog(std::string path, std::string fingerprint)
    : path_(std::move(path)), fingerprint_(std::move(fingerprint)) {
  if (path_.empty() || !fs::exists(path_)) return;
  std::ifstream file(path_);
  if (!file) throw Error(ErrorCode::file_unreadable, "the log cannot be read", {.path = path_});
  std::size_t good = 0;
  std::size_t lines = 0;
  bool ended = true;
  for (std::string line; std::getline(file, line);) {
    ended = !file.eof();
    if (line.empty()) continue;
    ++lines;
    std::optional<Json> entry = parsed(line, path_);
    if (!entry) continue;
    ++good;
    if ((*entry)["inputs"] == fingerprint_) {
      values_[(*entry)["key"].get<std::string>()] = std::move((*entry)["value"]);
    }
  }
  if (lines > 0 && good == 0 && ended) {
    throw Error(ErrorCode::bad_config, "this file is no log of 'ditq tune'; it stays as it is",
                {.path = path_, .expected = R"(lines {"inputs": …, "key": …, "value": …})"});
  }
  if (!ended) append(path_, "\n");  // what comes next begins a line of its own
  known_ = values_.size();
}

const Json* TuneLog::find(const std::string& key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? nullptr : &found->second;
}

void TuneLog::add(const std::string& key, Json value) {
  if (!path_.empty()) {
    append(path_, dump_json({{"inputs", fingerprint_}, {"key", key}, {"value", value}}) + "\n");
  }
  values_[key] = std::move(value);
}

}  // namespace ditq
