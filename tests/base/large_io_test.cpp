// Input and output past the page cache, and digests of what was written.

#include <random>
#include <string>

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/output_file.h"
#include "base/sha256.h"
#include "support/paths.h"

namespace ditq {
namespace {

std::string random_text(std::size_t size) {
  std::mt19937_64 random(size);
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

std::string text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(LargeInput, GivesAnyRangeWhateverItsAlignment) {
  const test::TemporaryFolder folder;
  const std::string text = random_text((std::size_t{1} << 20) + 777);
  write_text(folder / "f", text);
  const auto file = InputFile::open(folder / "f");
  const AlignedBuffer buffer((std::uint64_t{1} << 20) + 2 * kDirectAlignment);
  const std::size_t sizes[] = {0, 1, 4096, kDirectLeast, kDirectLeast + 1, std::size_t{1} << 20};
  for (const std::size_t size : sizes) {
    for (const std::size_t offset :
         {std::size_t{0}, std::size_t{8}, std::size_t{4096}, std::size_t{777}}) {
      if (offset + size > text.size()) continue;
      EXPECT_EQ(text_of(file->read_large(offset, size, buffer)), text.substr(offset, size));
    }
  }
  EXPECT_EQ(text_of(file->read_large(text.size() - kDirectLeast, kDirectLeast, buffer)),
            text.substr(text.size() - kDirectLeast))
      << "to the end of the file";
}

TEST(LargeInput, NamesAFileThatEndsEarly) {
  const test::TemporaryFolder folder;
  write_text(folder / "f", random_text(kDirectLeast));
  const AlignedBuffer buffer(2 * kDirectLeast);
  try {
    InputFile::open(folder / "f")->read_large(100, kDirectLeast, buffer);
    FAIL() << "read past the end";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::file_changed);
  }
}

TEST(LargeOutput, WritesAnyRangeWhateverItsAlignment) {
  const test::TemporaryFolder folder;
  const AlignedBuffer buffer(2 * kDirectLeast);
  const std::string text = random_text(2 * kDirectLeast);
  std::copy(text.begin(), text.end(), reinterpret_cast<char*>(buffer.bytes().data()));
  for (const std::size_t offset : {std::size_t{0}, std::size_t{4096}, std::size_t{5}}) {
    for (const std::size_t size :
         {std::size_t{3}, kDirectLeast - 1, kDirectLeast + 9, text.size()}) {
      OutputFile file(folder / "f");
      file.reserve(offset + size);
      file.write_large_at(offset, buffer.bytes().first(size));
      file.close();
      EXPECT_EQ(read_text(folder / "f"), std::string(offset, '\0') + text.substr(0, size));
    }
  }
}

TEST(InputFile, KnowsThatItChanged) {
  const test::TemporaryFolder folder;
  write_text(folder / "f", "content");
  const auto file = InputFile::open(folder / "f");
  EXPECT_NO_THROW(file->check_unchanged());
  std::filesystem::last_write_time(folder / "f", std::filesystem::file_time_type{});
  EXPECT_THROW(file->check_unchanged(), Error);
}

// Vectors of FIPS 180-2, appendix B.
TEST(Sha256, EqualsThePublishedDigests) {
  Sha256 digest;
  digest.update("abc");
  EXPECT_EQ(digest.finish(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(digest.finish(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  digest.update("abcdbcdecdefdefgefghfghighij");
  digest.update("hijkijkljklmklmnlmnomnopnopq");
  EXPECT_EQ(digest.finish(), "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

}  // namespace
}  // namespace ditq
