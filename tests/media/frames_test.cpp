#include "media/frames.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "support/paths.h"
#include "support/pictures.h"

namespace ditq {
namespace {

using test::rule_picture;

std::vector<Picture> all_of(const std::string& path) {
  const auto source = open_frames(path);
  std::vector<Picture> out;
  for (Picture frame; source->next(frame);) out.push_back(frame);
  return out;
}

TEST(FrameFolder, IsReadInTheOrderOfNumbers) {
  const test::TemporaryFolder folder;
  std::int64_t k = 0;
  for (const char* name : {"a.PNG", "frame_2.png", "frame_10.png", "frame_011.png"}) {
    write_png(folder / name, rule_picture(9, 8, k++));
  }
  write_text(folder / "notes.txt", "x");
  EXPECT_TRUE(is_frames(folder.path().string()));
  const auto frames = all_of(folder.path().string());
  ASSERT_EQ(frames.size(), 4);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(frames[i].pixels, rule_picture(9, 8, static_cast<std::int64_t>(i)).pixels) << i;
  }
}

TEST(FrameFolder, RefusesFoldersWithoutFrames) {
  const test::TemporaryFolder folder;
  EXPECT_THROW(open_frames(folder.path().string()), Error);
  write_text(folder / "a.png", "x");
  EXPECT_THROW(all_of(folder.path().string()), Error);
}

TEST(Video, IsToldByItsName) {
  for (const char* name : {"a.mp4", "a.MKV", "a.mov", "a.webm", "a.avi", "a.gif"}) {
    EXPECT_TRUE(is_frames(name)) << name;
  }
  EXPECT_FALSE(is_frames("a.png"));
  EXPECT_FALSE(is_frames("mp4"));
}

#ifdef DITQ_HAS_VIDEO
TEST(Video, GivesItsFrames) {
  const test::TemporaryFolder folder;
  std::vector<Picture> frames;
  for (std::int64_t k = 0; k < 7; ++k) frames.push_back(rule_picture(21, 9, k));
  write_text(folder / "a.avi", test::avi_of(frames));
  const auto found = all_of(folder / "a.avi");
  ASSERT_EQ(found.size(), 7);
  for (std::size_t i = 0; i < 7; ++i) {
    EXPECT_EQ(found[i].width, 21);
    EXPECT_EQ(found[i].pixels, frames[i].pixels) << i;
  }
}

TEST(Video, RefusesWhatIsNone) {
  const test::TemporaryFolder folder;
  write_text(folder / "a.mp4", "x");
  write_text(folder / "b.mp4", "");
  for (const char* name : {"a.mp4", "b.mp4"}) {
    try {
      all_of(folder / name);
      ADD_FAILURE() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::bad_picture) << error.what();
      EXPECT_EQ(error.facts().path, folder / name);
    }
  }
  EXPECT_THROW(open_frames(folder / "absent.mp4"), Error);
}
#else
TEST(Video, NamesThePackagesThatAreMissing) {
  try {
    open_frames("a.mp4");
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::unsupported);
    EXPECT_THAT(error.what(), testing::HasSubstr("libavformat-dev"));
  }
}
#endif

}  // namespace
}  // namespace ditq
