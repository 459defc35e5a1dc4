#include "harness.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>

#include <fcntl.h>
#include <unistd.h>

/// Of libFuzzer's runtime. Source: LLVM FuzzerInterface.h.
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t limit);

namespace ditq::fuzz {
namespace fs = std::filesystem;

std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

Folder::Folder() {
  const fs::path memory = "/dev/shm";
  std::string name =
      ((fs::is_directory(memory) ? memory : fs::temp_directory_path()) / "ditq-fuzz-XXXXXX")
          .string();
  require(::mkdtemp(name.data()) != nullptr, "a temporary folder can be made");
  path_ = name;
}

Folder::~Folder() {
  for (const File& file : files_) ::close(file.descriptor);
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

const std::string& Folder::put(const std::string& name, std::string_view content) {
  auto file = std::find_if(files_.begin(), files_.end(),
                           [&](const File& known) { return known.name == name; });
  if (file == files_.end()) {
    files_.push_back({.name = name, .path = path_ + "/" + name});
    file = files_.end() - 1;
  }
  if (file->descriptor < 0) {
    file->descriptor = ::open(file->path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  }
  const bool done = ::ftruncate(file->descriptor, static_cast<off_t>(content.size())) == 0 &&
                    ::pwrite(file->descriptor, content.data(), content.size(), 0) ==
                        static_cast<ssize_t>(content.size());
  require(done, "the input can be written");
  return file->path;
}

void Folder::remove(const std::string& name) {
  const auto file = std::find_if(files_.begin(), files_.end(),
                                 [&](const File& known) { return known.name == name; });
  if (file == files_.end() || file->descriptor < 0) return;
  ::unlink(file->path.c_str());
  ::close(file->descriptor);
  file->descriptor = -1;
}

namespace {

/// Stops where a reader took more than a second of the processor: other programs' load does not count.
class Patience {
 public:
  Patience() = default;
  ~Patience() {
    require(std::clock() - begin_ < CLOCKS_PER_SEC, "an input is read within a second");
  }
  Patience(const Patience&) = delete;
  Patience& operator=(const Patience&) = delete;

 private:
  std::clock_t begin_ = std::clock();
};

}  // namespace

bool read(const std::string& path, const std::function<void()>& reader) {
  const Patience patience;
  try {
    reader();
    return true;
  } catch (const Error& error) {
    const std::string_view message = error.what();
    require(message.find(path) != std::string_view::npos, "an error names the file");
    return false;
  }
}

void require(bool holds, const char* property) {
  if (holds) return;
  std::fprintf(stderr, "fuzz: does not hold: %s\n", property);
  std::abort();
}

std::vector<std::string_view> parts(std::string_view input) {
  constexpr std::string_view kCut = "----\n";
  std::vector<std::string_view> out;
  for (std::size_t at = 0; at <= input.size();) {
    const std::size_t end = std::min(input.find(kCut, at), input.size());
    out.push_back(input.substr(at, end - at));
    at = end + kCut.size();
  }
  return out;
}

std::string mutated(std::string text, std::size_t limit) {
  const std::size_t size = std::min(text.size(), limit);
  text.resize(limit);
  text.resize(LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(text.data()), size, limit));
  return text;
}

std::size_t store(std::string_view result, std::uint8_t* data, std::size_t limit) {
  const std::size_t size = std::min(result.size(), limit);
  std::copy_n(result.data(), size, reinterpret_cast<char*>(data));
  return size;
}

}  // namespace ditq::fuzz
