#include "convert/checksums.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "format/helpers.h"
#include "support/paths.h"

namespace ditq::test {
namespace {

const std::string kAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const std::string kEmpty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

TEST(Checksums, AreLinesAsSha256sumWritesThem) {
  EXPECT_EQ(checksums_text({{"b", kEmpty}, {"a c", kAbc}}), kAbc + "  a c\n" + kEmpty + "  b\n");
  // What sha256sum 9.1 prints for such names.
  EXPECT_EQ(checksums_text({{"a\\b\nc", kAbc}}), "\\" + kAbc + "  a\\\\b\\nc\n");
}

TEST(Checksums, AreReadBack) {
  const Checksums all{{"a\\b\nc\r", kAbc}, {" x", kEmpty}, {"*y", kEmpty}};
  EXPECT_EQ(parse_checksums(checksums_text(all), "f"), all);
  EXPECT_EQ(parse_checksums(kAbc + " *binary\n" + kEmpty + "  no line break", "f"),
            (Checksums{{"binary", kAbc}, {"no line break", kEmpty}}));
  EXPECT_EQ(parse_checksums("", "f"), Checksums{});
}

TEST(Checksums, OfAnotherKindAreRefused) {
  const std::string line = kAbc + "  a\n";
  for (const std::string& text :
       {std::string("\n"), line + "\n", line + line, kAbc + "  ../a\n", kAbc + "  b/c\n",
        kAbc + "  ..\n", kAbc + "  \n", kAbc + " a\n", kAbc.substr(1) + "  a\n",
        "G" + kAbc.substr(1) + "  a\n", "\\" + kAbc + "  a\\x\n", "\\" + kAbc + "  a\\\n"}) {
    EXPECT_EQ(code_of([&] { parse_checksums(text, "f"); }), "bad_checksums") << text;
  }
}

TEST(Checksums, TellWhatDiffersIsMissingOrUnlisted) {
  const TemporaryFolder folder;
  EXPECT_FALSE(has_checksums(folder.path().string()));
  EXPECT_EQ(code_of([&] { verify_checksums(folder.path().string()); }), "file_not_found");
  put_file(folder / "good.safetensors", "abc");
  put_file(folder / "bad.safetensors", "abd");
  put_file(folder / "new.safetensors", "abc");
  put_file(folder / "config.json", "{}");
  put_file(folder / kChecksumsName, checksums_text({{"good.safetensors", kAbc},
                                                    {"bad.safetensors", kAbc},
                                                    {"gone.safetensors", kAbc}}));
  EXPECT_TRUE(has_checksums(folder.path().string()));
  const ChecksumReport report = verify_checksums(folder.path().string());
  EXPECT_EQ(report.intact, std::vector<std::string>{"good.safetensors"});
  ASSERT_EQ(report.problems.size(), 3U);
  EXPECT_EQ(report.problems[0].kind, ChecksumProblem::Kind::differs);
  EXPECT_EQ(report.problems[0].name, "bad.safetensors");
  EXPECT_NE(report.problems[0].found, kAbc);
  EXPECT_EQ(report.problems[1].kind, ChecksumProblem::Kind::missing);
  EXPECT_EQ(report.problems[1].name, "gone.safetensors");
  EXPECT_EQ(report.problems[2].kind, ChecksumProblem::Kind::unlisted);
  EXPECT_EQ(report.problems[2].name, "new.safetensors");
}

}  // namespace
}  // namespace ditq::test
