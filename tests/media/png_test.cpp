#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "media/picture.h"
#include "support/paths.h"

namespace ditq {
namespace {

Picture gradient(std::int64_t width, std::int64_t height) {
  Picture picture{.width = width, .height = height, .pixels = {}};
  for (std::int64_t i = 0; i < width * height * 3; ++i) {
    picture.pixels.push_back(static_cast<std::uint8_t>(i * 7));
  }
  return picture;
}

TEST(Png, ReadsBackWhatItWrote) {
  const test::TemporaryFolder folder;
  for (const auto& [width, height] : {std::pair<int, int>{1, 1}, {17, 3}, {64, 48}}) {
    const Picture picture = gradient(width, height);
    write_png(folder / "a.png", picture, {{"prompt", "a red circle \u00e9"}});
    const Picture read = read_png(folder / "a.png");
    EXPECT_EQ(read.width, width);
    EXPECT_EQ(read.height, height);
    EXPECT_EQ(read.pixels, picture.pixels);
  }
}

TEST(Png, IsTheSameFileForTheSamePicture) {
  const test::TemporaryFolder folder;
  write_png(folder / "a.png", gradient(9, 9));
  write_png(folder / "b.png", gradient(9, 9));
  EXPECT_EQ(read_text(folder / "a.png"), read_text(folder / "b.png"));
}

TEST(Png, RefusesDamagedFiles) {
  const test::TemporaryFolder folder;
  write_png(folder / "a.png", gradient(64, 48));
  const std::string whole = read_text(folder / "a.png");
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{7}, std::size_t{40}, whole.size() - 20}) {
    write_text(folder / "b.png", whole.substr(0, size));
    EXPECT_THROW(read_png(folder / "b.png"), Error) << size;
  }
}

TEST(Png, RefusesAnEmptyPicture) {
  const test::TemporaryFolder folder;
  EXPECT_THROW(write_png(folder / "a.png", {}), Error);
  EXPECT_FALSE(std::filesystem::exists(folder / "a.png"));
}

}  // namespace
}  // namespace ditq
