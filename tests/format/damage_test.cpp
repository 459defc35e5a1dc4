// Damage anywhere in a good file never does worse than an Error.

#include <filesystem>
#include <random>

#include <gtest/gtest.h>

#include "format/checkpoint.h"
#include "format/safetensors.h"
#include "format/torch_pickle.h"
#include "helpers.h"
#include "support/paths.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;
using test::code_of;

/// Reads a file by its extension, all tensor bytes included.
void read_any(const std::string& path) {
  if (!path.ends_with(".pt")) {
    for (const TensorInfo& tensor : SafetensorsFile::open(path).tensors) {
      ASSERT_EQ(tensor.bytes().size(), tensor.size);
    }
    return;
  }
  const PicklePtr value = read_torch_checkpoint(path);
  if (value->dict() == nullptr) return;
  for (const auto& [key, member] : *value->dict()) {
    const TorchTensor* tensor = member->tensor();
    if (tensor == nullptr || tensor->elements() > 1000) continue;
    code_of([&] { tensor->read(); });
  }
}

/// Small good files of both kinds.
std::vector<std::string> good_files() {
  return {test::data("format/dtypes.safetensors").string(),
          test::data("format/protocol2.pt").string(), test::data("format/protocol5.pt").string()};
}

TEST(Damage, FilesCutShortAnywhereAreRefused) {
  const test::TemporaryFolder folder;
  for (const std::string& good : good_files()) {
    const std::string bytes = test::get_file(good);
    ASSERT_FALSE(bytes.empty()) << good;
    const std::string path = folder / ("cut" + fs::path(good).extension().string());
    for (std::size_t size = 0; size < bytes.size(); size += 3) {
      test::put_file(path, std::string_view(bytes).substr(0, size));
      EXPECT_NE(code_of([&] { read_any(path); }), "ok") << good << " cut to " << size;
    }
  }
}

TEST(Damage, AnyChangedByteIsReadOrRefused) {
  const test::TemporaryFolder folder;
  std::mt19937 random(7);
  std::size_t refused = 0;
  for (const std::string& good : good_files()) {
    const std::string bytes = test::get_file(good);
    const std::string path = folder / ("changed" + fs::path(good).extension().string());
    for (std::size_t at = random() % 3; at < bytes.size(); at += 1 + random() % 3) {
      std::string changed = bytes;
      changed[at] = static_cast<char>(changed[at] ^ static_cast<char>(1 + random() % 255));
      test::put_file(path, changed);
      if (code_of([&] { read_any(path); }) != "ok") ++refused;
    }
  }
  EXPECT_GT(refused, 500U);
}

TEST(Damage, RandomDamageIsReadOrRefused) {
  const test::TemporaryFolder folder;
  std::mt19937 random(8);
  std::size_t refused = 0;
  constexpr int kRounds = 400;
  for (const std::string& good : good_files()) {
    const std::string bytes = test::get_file(good);
    const std::string path = folder / ("damaged" + fs::path(good).extension().string());
    for (int round = 0; round < kRounds; ++round) {
      std::string changed = bytes;
      const std::size_t from = random() % changed.size();
      const std::size_t count = std::min<std::size_t>(random() % 12, changed.size() - from);
      if (random() % 2 == 0) changed.erase(from, count);
      const std::string piece = bytes.substr(random() % bytes.size(), random() % 12);
      changed.insert(std::min(from, changed.size()), piece);
      test::put_file(path, changed);
      if (code_of([&] { read_any(path); }) != "ok") ++refused;
    }
  }
  EXPECT_GT(refused, 500U);
}

}  // namespace
}  // namespace ditq
