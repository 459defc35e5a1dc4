#pragma once
// Where tests find their data and put their files.

#include <filesystem>
#include <optional>
#include <string>

namespace ditq::test {

/// The checkout.
std::filesystem::path source_dir();

/// tests/data/NAME of the checkout.
std::filesystem::path data(const std::string& name);

/// models/tiny-flux of the checkout: the bundled pipeline.
std::filesystem::path tiny_flux();

/// The bundled pipeline as ModelOpt exported it in FP8: transformer/, and transformer.small.pt, the checkpoint with
/// every amax. support/make_export makes it; the environment's DITQ_TINY_FLUX_FP8 names another place.
std::filesystem::path tiny_flux_fp8();

/// A path below the folder of larger goldens: DITQ_TEST_DATA, or shared/data beside the checkout. Nothing where it is
/// absent; tests then skip.
std::optional<std::filesystem::path> golden(const std::string& name);

/// A new empty folder, removed with its content at the end of its life.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace ditq::test
