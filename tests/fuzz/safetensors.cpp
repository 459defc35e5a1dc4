// One safetensors file: every byte range that the reader hands out lies in the file.

#include "format/safetensors.h"

#include <bit>
#include <cstring>

#include "base/numbers.h"
#include "harness.h"

namespace ditq::fuzz {
namespace {

/// The first bytes, read as the length of the header.
std::uint64_t header_length(std::string_view file) {
  std::uint64_t length = 0;
  if (file.size() >= sizeof(length)) std::memcpy(&length, file.data(), sizeof(length));
  return length;
}

void read_file(const std::string& path) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  std::uint64_t total = 0;
  for (const TensorInfo& tensor : file.tensors) {
    const Bytes bytes = tensor.bytes();
    require(bytes.size() == tensor.size, "a tensor has the bytes it announces");
    require(byte_size(tensor.dtype, tensor.shape) == tensor.size, "size is what the shape needs");
    total += tensor.size;
    if (!bytes.empty()) {
      require(bytes.front() == bytes.data()[0] && bytes.back() == bytes.data()[bytes.size() - 1],
              "the bytes can be read");
    }
  }
  const std::uint64_t size = file.tensors.empty() ? 0 : file.tensors.front().file->size();
  require(file.tensors.empty() || total < size, "tensors and header share the file");
}

}  // namespace
}  // namespace ditq::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ditq::fuzz;
  static Folder folder;
  const std::string& path = folder.put("x.safetensors", text_of(data, size));
  read(path, [&] { read_file(path); });
  return 0;
}

/// Mutates header and data apart, and mostly keeps the length field true.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data,
                                               std::size_t size,
                                               std::size_t limit,
                                               unsigned int seed) {
  using namespace ditq::fuzz;
  constexpr std::size_t kField = 8;
  Random random(seed);
  const std::string input(text_of(data, size));
  const std::uint64_t length = header_length(input);
  if (limit < 2 * kField || size < kField || length > size - kField || random() % 8 == 0) {
    return store(mutated(input, limit), data, limit);
  }
  std::string header = input.substr(kField, length);
  std::string content = input.substr(kField + length);
  if (random() % 4 != 0) {
    header = mutated(header, limit - kField - std::min(content.size(), limit - kField));
  } else {
    content.resize(random() % 64 * (random() % 8 == 0 ? 16 : 1), 'x');
  }
  std::string out;
  append<std::uint64_t>(out, header.size());
  return store(out + header + content, data, limit);
}
