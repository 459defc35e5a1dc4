#include "validate/digests.h"

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "support/paths.h"
#include "validate/child.h"

namespace ditq::test {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;

std::vector<std::string> names(const std::vector<RecordedFile>& files) {
  std::vector<std::string> out;
  for (const RecordedFile& file : files) out.push_back(file.name);
  return out;
}

TEST(Digests, OfAPipelineLeaveOutWhatIsNoComponent) {
  const TemporaryFolder folder;
  const auto put = [&](const std::string& name, const std::string& text) {
    fs::create_directories(fs::path(folder / name).parent_path());
    std::ofstream(folder / name) << text;
  };
  put("model_index.json",
      R"({"_class_name": "X", "vae": ["diffusers", "AutoencoderKL"], "gone": ["a", "b"]})");
  put("vae/config.json", "{}");
  put("vae/deep/weights", "abc");
  put("whole-model.safetensors", "a copy");
  put("other/file", "x");
  Digests digests(folder / "cache.json");
  const auto files = digests.files_of(folder.path().string());
  EXPECT_THAT(names(files), ElementsAre("model_index.json", "vae/config.json", "vae/deep/weights"));
  EXPECT_EQ(files[2].bytes, 3u);
  // sha256sum of "abc": FIPS 180-2, appendix B.1.
  EXPECT_EQ(files[2].sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Digests, FollowLinksAndSeeChangesBehindThem) {
  const TemporaryFolder folder;
  std::ofstream(folder / "blob") << "1";
  fs::create_directory(folder / "tree");
  fs::create_symlink(folder / "blob", folder / "tree/weights");
  Digests digests(folder / "cache.json");
  const std::string before = digests.of_tree(folder / "tree");
  EXPECT_EQ(digests.of_tree(folder / "tree"), before);
  std::ofstream(folder / "blob") << "22";
  EXPECT_NE(digests.of_tree(folder / "tree"), before);
  EXPECT_EQ(digests.of_tree(folder / "nothing"), "absent");
}

TEST(Digests, AreKeptForTheNextRun) {
  const TemporaryFolder folder;
  std::ofstream(folder / "file") << "1";
  Digests first(folder / "cache.json");
  const std::string digest = first.of_file(folder / "file");
  first.save();
  Digests second(folder / "cache.json");
  EXPECT_EQ(second.of_file(folder / "file"), digest);
  EXPECT_THROW(second.files_of(folder / "nothing"), Error);
}

TEST(Digests, SeeAChangeThatHidesItsTime) {
  const TemporaryFolder folder;
  std::ofstream(folder / "file") << "1";
  const auto time = fs::last_write_time(folder / "file");
  Digests digests(folder / "cache.json");
  const std::string before = digests.of_file(folder / "file");
  std::ofstream(folder / "file") << "2";
  fs::last_write_time(folder / "file", time);
  EXPECT_NE(digests.of_file(folder / "file"), before);
}

TEST(Digests, EndInACircleOfLinks) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "tree");
  fs::create_directory_symlink(folder / "tree", folder / "tree/again");
  Digests digests(folder / "cache.json");
  EXPECT_THROW(digests.files_of(folder / "tree"), Error);
}

TEST(ShellWords, AreReadBackByAShell) {
  EXPECT_EQ(shell_words({"compare", "--require", "psnr>=28", "it's", "", "a/b=c"}),
            "compare --require 'psnr>=28' 'it'\\''s' '' a/b=c");
}

}  // namespace
}  // namespace ditq::test
