// Every file of tests/hostile raises the error that its name begins with, and damage anywhere in a
// good file never does worse than an Error.

#include <filesystem>
#include <random>
#include <set>

#include <fmt/format.h>
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

std::vector<fs::path> hostile_files() {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(test::source_dir() / "tests/hostile")) {
    const auto extension = entry.path().extension();
    if (extension == ".safetensors" || extension == ".pt") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

TEST(Hostile, EveryFileRaisesTheErrorOfItsName) {
  const auto files = hostile_files();
  ASSERT_GT(files.size(), 100U);
  for (const fs::path& file : files) {
    const std::string stem = file.filename().string();
    EXPECT_EQ(code_of([&] { read_any(file.string()); }), stem.substr(0, stem.find("--"))) << stem;
  }
}

TEST(Hostile, EveryErrorNamesTheFile) {
  for (const fs::path& file : hostile_files()) {
    const auto error = test::error_of([&] { read_any(file.string()); });
    if (!error) continue;
    EXPECT_EQ(error->facts().path, file.string());
    EXPECT_NE(std::string(error->what()).find(file.string()), std::string::npos) << error->what();
  }
}

TEST(Hostile, EveryErrorOfTheReadersHasAFile) {
  std::set<std::string> codes;
  for (const fs::path& file : hostile_files()) {
    const std::string stem = file.filename().string();
    codes.insert(stem.substr(0, stem.find("--")));
  }
  for (const char* code :
       {"header_too_small", "header_too_large", "header_syntax", "json_too_deep",
        "duplicate_tensor", "unknown_dtype", "bad_shape", "bad_offsets", "zip_structure",
        "pickle_opcode", "pickle_global", "pickle_structure", "unsupported"}) {
    EXPECT_TRUE(codes.contains(code)) << code;
  }
}

/// Small good files of both kinds.
std::vector<std::string> good_files() {
  return {test::data("format/dtypes.safetensors").string(),
          test::data("format/protocol2.pt").string(), test::data("format/protocol5.pt").string()};
}

TEST(Hostile, FilesCutShortAnywhereAreRefused) {
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

TEST(Hostile, AnyChangedByteIsReadOrRefused) {
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

TEST(Hostile, RandomDamageIsReadOrRefused) {
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
