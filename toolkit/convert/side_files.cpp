#include "convert/side_files.h"

#include <algorithm>
#include <filesystem>
#include <span>

#include <fmt/format.h>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/output_file.h"
#include "convert/checksums.h"
#include "convert/resume_log.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxSideFiles = 100'000;

std::vector<fs::path> entries_of(const fs::path& folder) {
  std::vector<fs::path> entries;
  std::error_code status;
  for (fs::directory_iterator entry(folder, status); !status && entry != fs::directory_iterator();
       entry.increment(status)) {
    entries.push_back(entry->path());
  }
  if (status) {
    throw Error(ErrorCode::file_unreadable,
                fmt::format("cannot list the folder: {}", status.message()),
                {.path = folder.string()});
  }
  std::sort(entries.begin(), entries.end());
  return entries;
}

// Walks folders; `inside_` are the resolved folders from the top to the current one.
class Lister {
 public:
  std::vector<SideFile> files;

  explicit Lister(const fs::path& top) : inside_{fs::canonical(top)} {}

  void add(const fs::path& from, const fs::path& to) {
    // Folders linked into one another multiply without any circle.
    if (files.size() == kMaxSideFiles) {
      throw Error(ErrorCode::unsupported, "too many files beside the shards",
                  {.path = from.string(), .expected = fmt::format("at most {}", kMaxSideFiles)});
    }
    std::error_code status;
    const fs::file_status kind = fs::status(from, status);
    switch (kind.type()) {
      case fs::file_type::directory:
        files.push_back({.from = from.string(), .to = to.string(), .is_folder = true});
        add_folder(from, to);
        return;
      case fs::file_type::regular:
        files.push_back({.from = from.string(), .to = to.string(), .size = fs::file_size(from)});
        return;
      case fs::file_type::not_found:
        throw Error(ErrorCode::file_not_found, "a link beside the shards leads to nothing",
                    {.path = from.string(), .advice = "Remove it or restore what it links to"});
      case fs::file_type::none:
        throw Error(ErrorCode::file_unreadable,
                    fmt::format("cannot look at it: {}", status.message()),
                    {.path = from.string(), .advice = "Remove it or restore what it links to"});
      default:
        throw Error(ErrorCode::unsupported,
                    "something beside the shards is neither file nor folder",
                    {.path = from.string(), .advice = "Remove it from the export"});
    }
  }

 private:
  void add_folder(const fs::path& from, const fs::path& to) {
    const fs::path resolved = fs::canonical(from);
    if (std::find(inside_.begin(), inside_.end(), resolved) != inside_.end()) {
      throw Error(ErrorCode::unsupported, "a folder links back into itself",
                  {.path = from.string()});
    }
    inside_.push_back(resolved);
    for (const fs::path& entry : entries_of(from)) add(entry, to / entry.filename());
    inside_.pop_back();
  }

  std::vector<fs::path> inside_;
};

bool is_replaced(const std::string& name, const std::vector<std::string>& written) {
  return name.ends_with(".safetensors") || name == "model.safetensors.index.json" ||
         name == "diffusion_pytorch_model.safetensors.index.json" || name == kChecksumsName ||
         name == kResumeLogName || std::find(written.begin(), written.end(), name) != written.end();
}

}  // namespace

std::vector<SideFile> list_side_files(const std::string& folder,
                                      const std::vector<std::string>& written) {
  Lister lister(folder);
  for (const fs::path& entry : entries_of(folder)) {
    const std::string name = entry.filename().string();
    if (!is_replaced(name, written)) lister.add(entry, name);
  }
  return std::move(lister.files);
}

void copy_side_files(const std::vector<SideFile>& files, const std::string& output) {
  for (const SideFile& file : files) {
    check_interrupt();
    const std::string to = (fs::path(output) / file.to).string();
    if (file.is_folder) {
      std::error_code status;
      fs::create_directory(to, status);
      if (status) {
        throw Error(ErrorCode::storage,
                    fmt::format("cannot create the folder: {}", status.message()), {.path = to});
      }
      continue;
    }
    const auto source = InputFile::open(file.from);
    OutputFile target(to);
    target.copy_from(*source, 0, source->size());
    target.close();
  }
}

std::uint64_t total_size(const std::vector<SideFile>& files) {
  std::uint64_t bytes = 0;
  for (const SideFile& file : files) bytes += file.size;
  return bytes;
}

void write_document(const std::string& folder, const std::string& name, const std::string& text) {
  OutputFile file((std::filesystem::path(folder) / name).string());
  file.write(std::as_bytes(std::span(text)));
  file.close();
}

}  // namespace ditq
