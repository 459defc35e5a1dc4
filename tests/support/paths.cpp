#include "support/paths.h"

#include <cstdlib>
#include <stdexcept>

namespace ditq::test {

std::filesystem::path source_dir() {
  // A test program that was built elsewhere is told where the checkout lies.
  const char* chosen = std::getenv("DITQ_SOURCE_DIR");
  return chosen != nullptr ? chosen : DITQ_SOURCE_DIR;
}

std::filesystem::path data(const std::string& name) {
  return source_dir() / "tests/data" / name;
}

std::filesystem::path tiny_flux() {
  return source_dir() / "models/tiny-flux";
}

std::filesystem::path tiny_flux_fp8() {
  const char* chosen = std::getenv("DITQ_TINY_FLUX_FP8");
  const std::filesystem::path folder = chosen != nullptr ? chosen : DITQ_TINY_FLUX_FP8;
  if (!std::filesystem::exists(folder)) {
    throw std::runtime_error("run 'ctest -R bundled_export' first: it makes " + folder.string());
  }
  return folder;
}

std::optional<std::filesystem::path> golden(const std::string& name) {
  const char* chosen = std::getenv("DITQ_TEST_DATA");
  const std::filesystem::path root = chosen != nullptr ? std::filesystem::path(chosen)
                                                       : source_dir().parent_path() / "shared/data";
  const std::filesystem::path path = root / name;
  if (!std::filesystem::exists(path)) return std::nullopt;
  return path;
}

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "ditq-test-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace ditq::test
