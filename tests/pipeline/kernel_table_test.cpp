#include "pipeline/kernel_table.h"

#include <string>

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "support/paths.h"

namespace ditq {
namespace {

std::string line(const std::string& key, char digit) {
  return key + "|" + std::string(128, digit) + "\n";
}

TEST(KernelTable, NewLinesReplaceThoseOfTheirProduct) {
  const std::string old = line("NVIDIA H100|130100|m1", '1') + line("NVIDIA H200|130100|m1", '2') +
                          line("NVIDIA H200|130100|m2", '3');
  const test::TemporaryFolder folder;
  const std::string path = folder / "kernels.txt";
  write_text(path, old + "\n" + old);
  KernelTable table(path);
  EXPECT_EQ(table.size(), 3U);
  EXPECT_EQ(table.text(), old);
  table.add("NVIDIA H200|130100|m1|" + std::string(128, '4'));
  table.add("NVIDIA H200|130200|m1|" + std::string(128, '5'));
  EXPECT_EQ(table.text(), line("NVIDIA H100|130100|m1", '1') + line("NVIDIA H200|130100|m1", '4') +
                              line("NVIDIA H200|130100|m2", '3') +
                              line("NVIDIA H200|130200|m1", '5'));
  EXPECT_EQ(KernelTable().text(), "");
}

ErrorCode code_of_reading(const std::string& text, std::string* message = nullptr) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "kernels.txt";
  write_text(path, text);
  try {
    read_kernel_table(path, /*gpu=*/false);
  } catch (const Error& error) {
    if (message != nullptr) *message = error.what();
    return error.code();
  }
  return ErrorCode::check_failed;
}

TEST(KernelTable, TellsTheLineThatIsNone) {
  const std::string good = line("NVIDIA H200|130100|m1", 'a');
  EXPECT_EQ(code_of_reading(""), ErrorCode::check_failed);
  EXPECT_EQ(code_of_reading(good + "\n" + good), ErrorCode::check_failed);
  std::string message;
  EXPECT_EQ(code_of_reading(good + "NVIDIA H200|m1|12\n", &message), ErrorCode::bad_kernel_table);
  EXPECT_NE(message.find("line 2: 'NVIDIA H200|m1|12'"), std::string::npos) << message;
  EXPECT_NE(message.find("kernels.txt"), std::string::npos) << message;
  for (const std::string& bad :
       {line("NVIDIA H200|m1", 'a'), line("a|b|c|d", 'a'), line("a|b|c", 'x'), std::string("{}\n"),
        good.substr(0, good.size() - 2) + "\n", std::string(300, '\x01')}) {
    EXPECT_EQ(code_of_reading(bad), ErrorCode::bad_kernel_table) << bad;
  }
  const test::TemporaryFolder folder;
  try {
    read_kernel_table(folder / "none.txt", /*gpu=*/false);
    FAIL() << "a missing table was read";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::file_not_found);
  }
}

}  // namespace
}  // namespace ditq
