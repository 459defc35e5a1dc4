// A PNG file. Checksums are put right by the mutator, so that what stands in the chunks is reached.

#include <zlib.h>

#include "harness.h"
#include "media/picture.h"

namespace ditq::fuzz {
namespace {

constexpr std::size_t kSignature = 8;

std::uint32_t big_endian(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i)
    value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

void mend_checksums(std::string& file) {
  for (std::size_t at = kSignature; file.size() >= 12 && at <= file.size() - 12;) {
    const std::uint32_t length = big_endian(file, at);
    if (length > file.size() - at - 12) return;
    const auto* begin = reinterpret_cast<const Bytef*>(file.data() + at + 4);
    const auto crc = static_cast<std::uint32_t>(::crc32(0, begin, length + 4));
    for (std::size_t i = 0; i < 4; ++i) {
      file[at + 8 + length + i] = static_cast<char>(crc >> (24 - 8 * i) & 0xff);
    }
    at += length + 12;
  }
}

}  // namespace
}  // namespace ditq::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ditq;
  static fuzz::Folder folder;
  const std::string& path = folder.put("x.png", fuzz::text_of(data, size));
  fuzz::read(path, [&] {
    const Picture picture = read_png(path);
    fuzz::require(
        picture.pixels.size() == static_cast<std::size_t>(picture.width * picture.height) * 3,
        "a picture has its pixels");
  });
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data,
                                               std::size_t size,
                                               std::size_t limit,
                                               unsigned int seed) {
  using namespace ditq::fuzz;
  Random random(seed);
  std::string file = mutated(std::string(text_of(data, size)), limit);
  if (random() % 8 != 0) mend_checksums(file);
  return store(file, data, limit);
}
