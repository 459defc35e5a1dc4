#include "convert/atomic_output.h"

#include <csignal>
#include <filesystem>
#include <set>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/interrupt.h"
#include "convert/build_fp8.h"
#include "convert/small_export.h"
#include "format/checkpoint.h"
#include "format/helpers.h"
#include "support/paths.h"

namespace ditq::test {
namespace {

namespace fs = std::filesystem;

std::set<std::string> names_in(const std::string& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder))
    names.insert(entry.path().filename().string());
  return names;
}

using Names = std::set<std::string>;

TEST(AtomicOutput, AppearsOnlyWhenCommitted) {
  const TemporaryFolder folder;
  {
    AtomicOutput output(folder / "out", false);
    put_file(output.folder() + "/a", "new");
    EXPECT_FALSE(fs::exists(folder / "out"));
    output.commit();
  }
  EXPECT_EQ(get_file(folder / "out/a"), "new");
  EXPECT_EQ(names_in(folder.path()), Names{"out"});
}

TEST(AtomicOutput, LeavesNothingWithoutCommit) {
  const TemporaryFolder folder;
  {
    AtomicOutput output(folder / "made/for/it/out", false);
    put_file(output.folder() + "/a", "new");
  }
  EXPECT_EQ(names_in(folder.path()), Names{});
}

class Replacing : public testing::TestWithParam<AtomicOutput::Replace> {};

TEST_P(Replacing, KeepsTheOldUntilTheNewIsComplete) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "out/sub");
  put_file(folder / "out/old", "old");
  {
    AtomicOutput output(folder / "out", true, GetParam());
    put_file(output.folder() + "/a", "new");
    EXPECT_EQ(get_file(folder / "out/old"), "old");
    output.commit();
  }
  EXPECT_EQ(names_in(folder / "out"), Names{"a"});
  EXPECT_EQ(names_in(folder.path()), Names{"out"});
}

INSTANTIATE_TEST_SUITE_P(AtomicOutput,
                         Replacing,
                         testing::Values(AtomicOutput::Replace::exchange,
                                         AtomicOutput::Replace::renames),
                         [](const auto& info) {
                           return info.param == AtomicOutput::Replace::exchange ? "ByExchange"
                                                                                : "ByRenames";
                         });

TEST(AtomicOutput, RefusesWhatAppearedMeanwhile) {
  const TemporaryFolder folder;
  AtomicOutput output(folder / "out", false);
  fs::create_directory(folder / "out");
  EXPECT_EQ(code_of([&] { output.commit(); }), "output_exists");
  EXPECT_EQ(names_in(folder / "out"), Names{});
}

TEST(AtomicOutput, TellsASecondWriter) {
  const TemporaryFolder folder;
  AtomicOutput first(folder / "out", true);
  EXPECT_EQ(code_of([&] { AtomicOutput(folder / "out", true); }), "output_busy");
  AtomicOutput other(folder / "out2", true);
  first.commit();
  EXPECT_TRUE(fs::exists(folder / "out"));
}

TEST(AtomicOutput, RemovesWhatDeadRunsLeftAndNothingElse) {
  const TemporaryFolder folder;
  for (const char* name : {"out.partial-0123abcd", "out.partial-notes", "out.partial-0123abcd9",
                           "other.partial-0123abcd"}) {
    fs::create_directory(folder / name);
    put_file(folder / (std::string(name) + "/file"), "x");
  }
  put_file(folder / "out.partial-01234567", "a file of somebody");
  { AtomicOutput output(folder / "out", false); }
  EXPECT_EQ(names_in(folder.path()), (Names{"out.partial-notes", "out.partial-0123abcd9",
                                            "other.partial-0123abcd", "out.partial-01234567"}));
}

TEST(AtomicOutput, FinishesAReplacementThatDiedBetweenItsRenames) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "out.replaced-0123abcd");
  put_file(folder / "out.replaced-0123abcd/old", "old");
  { AtomicOutput output(folder / "out", true); }
  EXPECT_EQ(get_file(folder / "out/old"), "old");
  fs::create_directory(folder / "out.replaced-0123abcd");
  { AtomicOutput output(folder / "out", true); }
  EXPECT_EQ(names_in(folder.path()), Names{"out"}) << "the new one was in its place already";
}

TEST(AtomicOutput, KnowsFreeSpace) {
  const TemporaryFolder folder;
  EXPECT_NO_THROW(check_free_space(folder / "not/there/yet", 1));
  EXPECT_EQ(code_of([&] { check_free_space(folder / "out", std::uint64_t{1} << 62); }), "storage");
}

// Runs in a child, because signals and limits are the process's: exits with the code's number, or 0.
int convert_in_child(const TemporaryFolder& folder) {
  BuildFp8Request request = SmallExport::request(folder);
  request.overwrite = true;
  const auto error = error_of([&] { build_fp8(request); });
  return error ? static_cast<int>(exit_code(error->code())) : 0;
}

void limit_file_size() {
  const rlimit limit{1000, 1000};
  setrlimit(RLIMIT_FSIZE, &limit);
}

class InterruptedRun : public testing::Test {
 protected:
  InterruptedRun() {
    testing::FLAGS_gtest_death_test_style = "fast";
    SmallExport().write(folder_);
    fs::create_directory(folder_ / "out");
    put_file(folder_ / "out/precious.txt", "precious");
  }

  void expect_unchanged() {
    EXPECT_EQ(names_in(folder_.path()), (Names{"base", "checkpoint.pt", "export", "out"}));
    EXPECT_EQ(names_in(folder_ / "out"), Names{"precious.txt"});
  }

  TemporaryFolder folder_;
};

TEST_F(InterruptedRun, LeavesTheOldOutputAfterASignal) {
  EXPECT_EXIT(
      {
        install_interrupt_handler();
        std::raise(SIGINT);
        std::_Exit(convert_in_child(folder_));
      },
      testing::ExitedWithCode(130), "");
  expect_unchanged();
}

TEST_F(InterruptedRun, LeavesTheOldOutputWhenWritingFails) {
  EXPECT_EXIT(
      {
        std::signal(SIGXFSZ, SIG_IGN);
        limit_file_size();
        std::_Exit(convert_in_child(folder_));
      },
      testing::ExitedWithCode(5), "");
  expect_unchanged();
}

TEST_F(InterruptedRun, IsCleanedUpByTheNextAfterItWasKilled) {
  EXPECT_EXIT(
      {
        AtomicOutput output(folder_ / "out", true);
        put_file(output.folder() + "/half", "half");
        std::raise(SIGKILL);
      },
      testing::KilledBySignal(SIGKILL), "");
  EXPECT_EQ(names_in(folder_.path()).size(), 5u) << "a partial folder stays behind";
  EXPECT_EQ(convert_in_child(folder_), 0);
  EXPECT_EQ(names_in(folder_.path()), (Names{"base", "checkpoint.pt", "export", "out"}));
  EXPECT_NO_THROW(Checkpoint::open(folder_ / "out"));
}

TEST(SideFiles, AreCopiedWithTheirFolders) {
  const TemporaryFolder folder;
  SmallExport().write(folder);
  fs::create_directories(folder / "export/assets/deep");
  put_file(folder / "export/README.md", "read me");
  put_file(folder / "export/assets/deep/data.safetensors", "not a shard");
  put_file(folder / "export/empty", "");
  put_file(folder / "blob", "linked");
  fs::create_symlink("../blob", folder / "export/linked.json");
  fs::create_directory_symlink("assets", folder / "export/more");
  put_file(folder / "export/generation_config.json", "{}");
  build_fp8(SmallExport::request(folder));
  EXPECT_EQ(get_file(folder / "out/README.md"), "read me");
  EXPECT_EQ(get_file(folder / "out/assets/deep/data.safetensors"), "not a shard");
  EXPECT_EQ(get_file(folder / "out/linked.json"), "linked");
  EXPECT_FALSE(fs::is_symlink(folder / "out/linked.json"));
  EXPECT_TRUE(fs::exists(folder / "out/more/deep"));
  EXPECT_EQ(names_in(folder / "out"),
            (Names{"README.md", "assets", "checksums", "config.json",
                   "diffusion_pytorch_model.safetensors",
                   "diffusion_pytorch_model.safetensors.index.json", "empty",
                   "generation_config.json", "linked.json", "more"}));
}

TEST(SideFiles, KeepAnIndexOfAnotherNameAndReplaceItsContent) {
  const TemporaryFolder folder;
  SmallExport small;
  small.split();
  small.write(folder);
  fs::rename(folder / "export/diffusion_pytorch_model.safetensors.index.json",
             folder / "export/own.safetensors.index.json");
  build_fp8(SmallExport::request(folder));
  EXPECT_TRUE(fs::exists(folder / "out/own.safetensors.index.json"));
  EXPECT_FALSE(fs::exists(folder / "out/diffusion_pytorch_model.safetensors.index.json"));
  EXPECT_NO_THROW(Checkpoint::open(folder / "out"));
}

}  // namespace
}  // namespace ditq::test
