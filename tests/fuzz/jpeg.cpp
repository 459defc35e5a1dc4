// A JPEG file.

#include "harness.h"
#include "media/picture.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ditq;
  static fuzz::Folder folder;
  const std::string& path = folder.put("x.jpg", fuzz::text_of(data, size));
  fuzz::read(path, [&] {
    const Picture picture = read_jpeg(path);
    fuzz::require(
        picture.pixels.size() == static_cast<std::size_t>(picture.width * picture.height) * 3,
        "a picture has its pixels");
  });
  return 0;
}
