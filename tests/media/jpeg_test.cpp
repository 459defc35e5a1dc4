#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "media/picture.h"
#include "support/paths.h"
#include "support/pictures.h"

namespace ditq {
namespace {

using testing::HasSubstr;

// 17 x 11 pixels, written by Pillow 12.
const std::string kBaseline =
    "ffd8ffe000104a46494600010100000100010000ffdb004300080606070605080707070909080a0c140d0c0b0b0c"
    "1912130f141d1a1f1e1d1a1c1c20242e2720222c231c1c2837292c30313434341f27393d38323c2e333432ffdb00"
    "43010909090c0b0c180d0d1832211c21323232323232323232323232323232323232323232323232323232323232"
    "3232323232323232323232323232323232323232ffc0001108000b001103012200021101031101ffc40018000003"
    "01010000000000000000000000000005060307ffc4001d1000020202030100000000000000000000000401210231"
    "12145161ffc4001501010100000000000000000000000000000005ffc40014110100000000000000000000000000"
    "000000ffda000c03010002110311003f00e7882daa2a105b54294318aa2a10c62a8b096d3adf0067c63c003fffd9";
const std::string kProgressive =
    "ffd8ffe000104a46494600010100000100010000ffdb0043000d090a0b0a080d0b0a0b0e0e0d0f13201513121213"
    "271c1e17202e2931302e292d2c333a4a3e333646372c2d405741464c4e525352323e5a615a50604a51524fffdb00"
    "43010e0e0e131113261515264f352d354f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f"
    "4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4fffc2001108000b001103012200021101031101ffc40018000003"
    "01010000000000000000000000000003040105ffc4001501010100000000000000000000000000000003ffda000c"
    "03010002100310000001e5589b2f0d1c1fffc4001810000301010000000000000000000000000001021011ffda00"
    "08010100010502944a384939ffc40014110100000000000000000000000000000010ffda0008010301013f013fff"
    "c40014110100000000000000000000000000000010ffda0008010201013f013fffc4001410010000000000000000"
    "0000000000000020ffda0008010100063f025fffc40014100100000000000000000000000000000020ffda000801"
    "0100013f2154ff00ffda000c03010002000300000010dfff00ffc400141101000000000000000000000000000000"
    "10ffda0008010301013f103fffc40014110100000000000000000000000000000010ffda0008010201013f103fff"
    "c4001a100003010003000000000000000000000000012131115171ffda0008010100013f10c618c3c88a4114870b"
    "a3ffd9";
const std::string kGrey =
    "ffd8ffe000104a46494600010100000100010000ffdb004300080606070605080707070909080a0c140d0c0b0b0c"
    "1912130f141d1a1f1e1d1a1c1c20242e2720222c231c1c2837292c30313434341f27393d38323c2e333432ffc000"
    "0b08000b001101011100ffc400160001010100000000000000000000000000060507ffc4001d1000020202030100"
    "00000000000000000000040121023112145161ffda0008010100003f00cf105b5428416d515badf0268631542843"
    "18aa2bf18f0fffd9";
const std::string kCmyk =
    "ffd8ffee000e41646f626500640000000000ffdb004300100b0c0e0c0a100e0d0e1211101318281a181616183123"
    "251d283a333d3c3933383740485c4e404457453738506d51575f626768673e4d71797064785c656763ffc0001408"
    "000b0011044311004d11005911004b1100ffc4001800010101010100000000000000000000000504000607ffc400"
    "1b10000202030100000000000000000000000001030411213113ffda000e0443004d0059004b00003f00e36bc5c0"
    "1af17096bc5c3d0052bc5c14af17052bc5c315f915f915f91826ba5a09ae96826ba5a30a574b4295d2d0a574b462"
    "bc22bc22bc231fffd9";

std::string bytes_of(const std::string& hex) {
  std::string out;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    out += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return out;
}

class Jpeg : public testing::Test {
 protected:
  std::string write(const std::string& bytes, const std::string& name = "a.jpg") {
    write_text(folder_ / name, bytes);
    return folder_ / name;
  }
  std::string refusal(const std::string& bytes) {
    const std::string path = write(bytes);
    try {
      read_jpeg(path);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::bad_picture);
      EXPECT_EQ(error.facts().path, path);
      return error.what();
    }
    ADD_FAILURE() << "no error";
    return "";
  }
  const test::TemporaryFolder folder_;
};

TEST_F(Jpeg, GivesPillowsBytes) {
  for (const auto& [file, weighted] :
       {std::pair(kBaseline, 6318137), std::pair(kProgressive, 6279447),
        std::pair(kGrey, 5828992)}) {
    const Picture found = read_jpeg(write(bytes_of(file)));
    EXPECT_EQ(found.width, 17);
    EXPECT_EQ(found.height, 11);
    EXPECT_EQ(test::weighted_sum(found), weighted);
  }
}

TEST_F(Jpeg, IsToldByItsContent) {
  const std::string path = write(bytes_of(kBaseline), "a.png");
  EXPECT_EQ(file_kind(path), FileKind::jpeg);
  EXPECT_EQ(read_picture(path).width, 17);
  write_png(folder_ / "b.jpg", test::rule_picture(5, 4));
  EXPECT_EQ(read_picture(folder_ / "b.jpg").pixels, test::rule_picture(5, 4).pixels);
  EXPECT_THROW(read_picture(write("GIF89a")), Error);
  EXPECT_THROW(read_picture(write("")), Error);
}

TEST_F(Jpeg, RefusesCmyk) {
  EXPECT_THAT(refusal(bytes_of(kCmyk)), HasSubstr("color"));
}

TEST_F(Jpeg, RefusesFilesThatAreCutOff) {
  for (const std::string& file : {bytes_of(kBaseline), bytes_of(kProgressive)}) {
    for (std::size_t size = 0; size + 3 < file.size(); size += 7) refusal(file.substr(0, size));
  }
}

TEST_F(Jpeg, RefusesMorePixelsThanTheDataCanHold) {
  std::string file = bytes_of(kBaseline);
  const std::size_t header = file.find("\xff\xc0");
  file.replace(header + 5, 4, std::string("\x20\x00\x20\x00", 4));  // 8192 x 8192
  EXPECT_THAT(refusal(file), HasSubstr("too short for its picture"));
  file.replace(header + 5, 4, "\xff\x00\xff\x00", 4);
  EXPECT_THAT(refusal(file), HasSubstr("too many pixels"));
}

TEST_F(Jpeg, RefusesScansWithoutEnd) {
  const std::string file = bytes_of(kProgressive);
  const std::size_t scan = file.find("\xff\xda");
  const std::size_t next = file.find("\xff\xc4", scan);
  std::string bomb = file.substr(0, next);
  // The first scan again and again: each would be decoded over the whole picture.
  for (int i = 0; i < 200; ++i) bomb += file.substr(scan, next - scan);
  bomb += file.substr(next);
  refusal(bomb);
}

TEST_F(Jpeg, SurvivesEveryDamagedByte) {
  for (const std::string& file : {bytes_of(kBaseline), bytes_of(kProgressive)}) {
    for (std::size_t i = 0; i < file.size(); i += 3) {
      std::string damaged = file;
      damaged[i] = static_cast<char>(damaged[i] ^ 0x55);
      const std::string path = write(damaged);
      try {
        const Picture found = read_jpeg(path);
        EXPECT_EQ(found.pixels.size(), static_cast<std::size_t>(found.width * found.height * 3));
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::bad_picture);
      }
    }
  }
}

}  // namespace
}  // namespace ditq
