#include "convert/checksums.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <future>
#include <optional>
#include <thread>

#include <fmt/format.h>

#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "base/sha256.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kDigits = 64;
constexpr std::uint64_t kPiece = std::uint64_t{4} << 20;  ///< bytes read at a time
constexpr std::uint64_t kMaxText = std::uint64_t{1} << 28;

std::string path_in(const std::string& folder, const std::string& name) {
  return (fs::path(folder) / name).string();
}

bool needs_escape(const std::string& name) {
  return name.find_first_of("\n\r\\") != std::string::npos;
}

std::string escape(const std::string& name) {
  std::string out;
  for (const char c : name) {
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\\') {
      out += "\\\\";
    } else {
      out.push_back(c);
    }
  }
  return out;
}

/// Nothing for an escape that sha256sum does not write.
std::optional<std::string> unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out.push_back(text[i]);
      continue;
    }
    if (++i == text.size()) return std::nullopt;
    if (text[i] != 'n' && text[i] != 'r' && text[i] != '\\') return std::nullopt;
    out.push_back(text[i] == 'n' ? '\n' : text[i] == 'r' ? '\r' : '\\');
  }
  return out;
}

bool is_plain_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

/// Name and digest of a line, or nothing where it is none.
std::optional<std::pair<std::string, std::string>> parse_line(std::string_view line) {
  const bool escaped = line.starts_with('\\');
  if (escaped) line.remove_prefix(1);
  if (line.size() < kDigits + 3) return std::nullopt;
  std::string digest(line.substr(0, kDigits));
  if (digest.find_first_not_of("0123456789abcdef") != std::string::npos) return std::nullopt;
  const std::string_view mark = line.substr(kDigits, 2);
  if (mark != "  " && mark != " *") return std::nullopt;
  const std::string_view text = line.substr(kDigits + 2);
  const auto name = escaped ? unescape(text) : std::optional(std::string(text));
  if (!name || !is_plain_name(*name)) return std::nullopt;
  return std::pair(*name, std::move(digest));
}

[[noreturn]] void raise(const std::string& path, const std::string& expected, std::size_t line) {
  throw Error(ErrorCode::bad_checksums, "the checksums cannot be read",
              {.path = path, .expected = expected, .found = fmt::format("line {}", line)});
}

std::vector<std::string> shards_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code status;
  for (fs::directory_iterator entry(folder, status); !status && entry != fs::directory_iterator();
       entry.increment(status)) {
    const std::string name = entry->path().filename().string();
    if (name.ends_with(".safetensors")) names.push_back(name);
  }
  return names;
}

/// Hashes files on a few threads; the caller watches.
class Verifier {
 public:
  Verifier(const std::string& folder, const Checksums& checksums) : folder_(folder) {
    for (const auto& [name, digest] : checksums) jobs_.push_back({.name = name});
    for (Job& job : jobs_) {
      std::error_code absent;
      const std::uint64_t size = fs::file_size(path_in(folder_, job.name), absent);
      if (!absent) total_ += size;
    }
  }

  /// Digests by name; none for a file that is not there.
  std::map<std::string, std::string> run() {
    constexpr std::size_t kMostThreads = 8;
    const std::size_t count =
        std::min({kMostThreads, jobs_.size(),
                  std::size_t{std::max(1U, std::thread::hardware_concurrency())}});
    ProgressBar progress("verifying", total_, "B");
    std::vector<std::future<void>> threads;
    const Stopper stopper{stopped_};  // goes before the futures, whose destructors wait
    for (std::size_t i = 0; i < count; ++i) {
      threads.push_back(std::async(std::launch::async, [this] { work(); }));
    }
    std::uint64_t shown = 0;
    for (std::future<void>& thread : threads) {
      while (thread.wait_for(std::chrono::milliseconds(50)) != std::future_status::ready) {
        check_interrupt();
        const std::uint64_t done = done_;
        progress.advance(done - shown);
        shown = done;
      }
    }
    for (std::future<void>& thread : threads) thread.get();
    progress.finish();
    std::map<std::string, std::string> digests;
    for (const Job& job : jobs_) digests[job.name] = job.digest;
    return digests;
  }

 private:
  struct Job {
    std::string name;
    std::string digest;
  };
  struct Stopper {
    std::atomic<bool>& stopped;
    ~Stopper() { stopped = true; }
  };

  void work() {
    const AlignedBuffer buffer(kPiece);
    for (std::size_t i = next_++; i < jobs_.size(); i = next_++) {
      try {
        jobs_[i].digest = digest_of(path_in(folder_, jobs_[i].name), buffer);
      } catch (const Error& error) {
        if (error.code() != ErrorCode::file_not_found) throw;
      }
    }
  }

  std::string digest_of(const std::string& path, const AlignedBuffer& buffer) {
    const auto file = InputFile::open(path);
    Sha256 digest;
    for (std::uint64_t offset = 0; offset < file->size() && !stopped_;) {
      const std::uint64_t count = std::min(kPiece, file->size() - offset);
      digest.update(file->read_large(offset, count, buffer));
      offset += count;
      done_ += count;
    }
    file->check_unchanged();
    return digest.finish();
  }

  const std::string& folder_;
  std::vector<Job> jobs_;
  std::uint64_t total_ = 0;
  std::atomic<std::size_t> next_{0};
  std::atomic<std::uint64_t> done_{0};
  std::atomic<bool> stopped_{false};
};

}  // namespace

std::string checksums_text(const Checksums& checksums) {
  std::string out;
  for (const auto& [name, digest] : checksums) {
    out += fmt::format("{}{}  {}\n", needs_escape(name) ? "\\" : "", digest, escape(name));
  }
  return out;
}

Checksums parse_checksums(std::string_view text, const std::string& path) {
  Checksums out;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const auto line = parse_line(text.substr(0, end));
    if (!line)
      raise(path, "64 hexadecimal digits, two spaces and a file name in this folder", number);
    if (!out.insert(*line).second) raise(path, "each name once", number);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

bool has_checksums(const std::string& folder) {
  std::error_code ignored;
  return fs::is_regular_file(path_in(folder, kChecksumsName), ignored);
}

ChecksumReport verify_checksums(const std::string& folder) {
  const std::string path = path_in(folder, kChecksumsName);
  const Checksums listed = parse_checksums(read_text(path, kMaxText), path);
  const auto found = Verifier(folder, listed).run();
  ChecksumReport report;
  for (const auto& [name, expected] : listed) {
    const std::string& digest = found.at(name);
    if (digest == expected) {
      report.intact.push_back(name);
      continue;
    }
    const auto kind =
        digest.empty() ? ChecksumProblem::Kind::missing : ChecksumProblem::Kind::differs;
    report.problems.push_back({.kind = kind, .name = name, .expected = expected, .found = digest});
  }
  for (const std::string& name : shards_in(folder)) {
    if (listed.contains(name)) continue;
    report.problems.push_back({.kind = ChecksumProblem::Kind::unlisted, .name = name});
  }
  std::sort(report.problems.begin(), report.problems.end(),
            [](const ChecksumProblem& a, const ChecksumProblem& b) { return a.name < b.name; });
  return report;
}

}  // namespace ditq
