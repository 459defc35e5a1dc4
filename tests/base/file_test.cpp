#include "base/file.h"

#include <csignal>
#include <vector>

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/output_file.h"
#include "support/paths.h"

namespace ditq {
namespace {

ErrorCode open_error(const std::string& path) {
  try {
    InputFile::open(path);
  } catch (const Error& error) {
    return error.code();
  }
  return ErrorCode::usage;
}

TEST(File, NamesWhatIsMissingOrAFolder) {
  const test::TemporaryFolder folder;
  EXPECT_EQ(open_error(folder / "nowhere"), ErrorCode::file_not_found);
  EXPECT_EQ(open_error(folder.path().string()), ErrorCode::file_unreadable);
}

TEST(File, DoesNotWaitForAPipe) {
  const test::TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(open_error(folder / "pipe"), ErrorCode::file_unreadable);
}

TEST(File, ReadsBackWhatItWrote) {
  const test::TemporaryFolder folder;
  write_text(folder / "a", "hello");
  EXPECT_EQ(read_text(folder / "a"), "hello");
  write_text(folder / "a", "");
  EXPECT_EQ(read_text(folder / "a"), "");
  EXPECT_TRUE(InputFile::open(folder / "a")->map().empty());
  EXPECT_THROW(read_text(folder / "a" + "b"), Error);
}

TEST(File, RefusesToReadPastTheEnd) {
  const test::TemporaryFolder folder;
  write_text(folder / "a", "hello");
  std::vector<std::byte> out(4);
  EXPECT_NO_THROW(InputFile::open(folder / "a")->read(1, out));
  EXPECT_THROW(InputFile::open(folder / "a")->read(2, out), Error);
}

TEST(File, CopiesRanges) {
  const test::TemporaryFolder folder;
  write_text(folder / "a", "0123456789");
  OutputFile out(folder / "b");
  out.copy_from(*InputFile::open(folder / "a"), 3, 4);
  out.close();
  EXPECT_EQ(read_text(folder / "b"), "3456");
}

TEST(File, ReportsAFullDisk) {
  if (::access("/dev/full", W_OK) != 0) GTEST_SKIP() << "no /dev/full here";
  OutputFile out("/dev/full");
  try {
    out.write(std::as_bytes(std::span("hello")));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::storage);
    EXPECT_EQ(exit_code(error.code()), ExitCode::resources);
  }
}

TEST(File, LeavesTheOldContentWhenAWriteFails) {
  const test::TemporaryFolder folder;
  write_text(folder / "a", "old");
  struct rlimit before {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit small = before;
  small.rlim_cur = 1000;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  EXPECT_THROW(write_text(folder / "a", std::string(5000, 'x')), Error);
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(read_text(folder / "a"), "old");
}

TEST(File, PrintsBytesForPeople) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(1000), "1.0 kB");
  EXPECT_EQ(human_bytes(23'802'816'640), "23.8 GB");
}

}  // namespace
}  // namespace ditq
