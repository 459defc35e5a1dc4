#pragma once
// What fuzz targets share: input as a named file, the one way in which a reader may fail, and mutators that keep
// the outside of a container sound so that its inside is reached.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace ditq::fuzz {

/// libFuzzer's input as text.
std::string_view text_of(const std::uint8_t* data, std::size_t size);

/// A folder in memory of this process's own, removed at its end. Files keep their descriptors open: replacing the
/// content costs two system calls.
class Folder {
 public:
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  /// Creates the file or replaces its content; returns its path.
  const std::string& put(const std::string& name, std::string_view content);
  /// Removes the file if it is there.
  void remove(const std::string& name);
  const std::string& path() const { return path_; }

 private:
  struct File {
    std::string name, path;
    int descriptor = -1;
  };
  std::string path_;
  std::vector<File> files_;
};

/// Runs a reader. It may raise Error, whose message must name `path` (empty: any message will do); whatever else
/// happens is a finding, and so is a second of processor time. True when it succeeded.
bool read(const std::string& path, const std::function<void()>& reader);

/// Stops the process, which libFuzzer reports, unless a property holds.
void require(bool holds, const char* property);

/// Parts of an input that holds several texts: cut at each line "----".
std::vector<std::string_view> parts(std::string_view input);

/// Randomness of one mutation, from libFuzzer's seed.
using Random = std::minstd_rand;

/// libFuzzer's own mutations, applied to a text that may grow to `limit` bytes.
std::string mutated(std::string text, std::size_t limit);

/// What a custom mutator returns: `result` where libFuzzer expects it, cut to `limit`.
std::size_t store(std::string_view result, std::uint8_t* data, std::size_t limit);

/// Appends an unsigned number, little endian.
template <typename T>
void append(std::string& out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    out.push_back(static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * i) & 0xff));
  }
}

}  // namespace ditq::fuzz
