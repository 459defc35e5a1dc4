#include "torch_archive.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "format/torch_pickle.h"

namespace ditq::fuzz {
namespace {

template <typename T>
T number_at(std::string_view bytes, std::size_t at) {
  T value{};
  if (at <= bytes.size() && bytes.size() - at >= sizeof(T)) {
    std::memcpy(&value, bytes.data() + at, sizeof(T));
  }
  return value;
}

std::uint32_t crc32(std::string_view bytes) {
  std::uint32_t crc = ~0U;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (0xEDB88320U & (0U - (crc & 1U)));
  }
  return ~crc;
}

constexpr std::uint32_t kAllOnes = 0xffffffff;

/// The zip64 field of a header: sizes, and the offset in the directory.
std::string wide_field(std::uint64_t size, const std::uint64_t* offset) {
  std::string out;
  append<std::uint16_t>(out, 1);
  append<std::uint16_t>(out, static_cast<std::uint16_t>(offset == nullptr ? 16 : 24));
  append(out, size);
  append(out, size);
  if (offset != nullptr) append(out, *offset);
  return out;
}

/// The fields that local header and directory share, from "version needed" to the length of the extra field.
std::string common_fields(const std::string& name, const std::string& data, bool wide) {
  std::string out;
  append<std::uint16_t>(out, 20);
  append<std::uint16_t>(out, 0);  // flags
  append<std::uint16_t>(out, 0);  // stored
  append<std::uint32_t>(out, 0);  // time and date
  append<std::uint32_t>(out, crc32(data));
  const std::uint32_t size = wide ? kAllOnes : static_cast<std::uint32_t>(data.size());
  append(out, size);
  append(out, size);
  append<std::uint16_t>(out, static_cast<std::uint16_t>(name.size()));
  return out;
}

void append_end(std::string& out, std::uint64_t directory, std::uint64_t entries, bool wide) {
  const std::uint64_t end = out.size();
  if (wide) {
    append<std::uint32_t>(out, 0x06064b50);
    append<std::uint64_t>(out, 44);
    append<std::uint32_t>(out, 0x002d002d);
    append<std::uint64_t>(out, 0);  // disks
    append(out, entries);
    append(out, entries);
    append(out, end - directory);
    append(out, directory);
    append<std::uint32_t>(out, 0x07064b50);
    append<std::uint32_t>(out, 0);
    append(out, end);
    append<std::uint32_t>(out, 1);
  }
  append<std::uint32_t>(out, 0x06054b50);
  append<std::uint32_t>(out, 0);
  append(out, static_cast<std::uint16_t>(entries));
  append(out, static_cast<std::uint16_t>(entries));
  append(out, static_cast<std::uint32_t>(end - directory));
  append(out, static_cast<std::uint32_t>(directory));
  append<std::uint16_t>(out, 0);
}

/// Bytes that the opcode at `at` takes, its argument included. Source: CPython Lib/pickletools.py.
std::size_t opcode_size(std::string_view pickle, std::size_t at) {
  const auto counted = [&](std::size_t width, std::uint64_t count) {
    return 1 + width + static_cast<std::size_t>(std::min<std::uint64_t>(count, pickle.size()));
  };
  switch (static_cast<unsigned char>(pickle[at])) {
    case 0x80:
    case 'K':
    case 'h':
    case 'q':
    case 0x82:
      return 2;
    case 'M':
    case 0x83:
      return 3;
    case 'J':
    case 'j':
    case 'r':
    case 0x84:
      return 5;
    case 'G':
    case 0x95:
      return 9;
    case 'C':
    case 'U':
    case 0x8a:
    case 0x8c:
      return counted(1, number_at<std::uint8_t>(pickle, at + 1));
    case 'B':
    case 'T':
    case 'X':
    case 0x8b:
      return counted(4, number_at<std::uint32_t>(pickle, at + 1));
    case 0x8d:
    case 0x8e:
    case 0x96:
      return counted(8, number_at<std::uint64_t>(pickle, at + 1));
    case 'c':
    case 'i': {
      const std::size_t line = std::min(pickle.find('\n', at), pickle.size() - 1);
      return std::min(pickle.find('\n', line + 1), pickle.size() - 1) + 1 - at;
    }
    default:
      return 1;
  }
}

std::vector<std::string> split_opcodes(std::string_view pickle) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at < pickle.size();) {
    const std::size_t size = std::min(opcode_size(pickle, at), pickle.size() - at);
    out.emplace_back(pickle.substr(at, size));
    at += size;
  }
  return out;
}

/// Opcodes with small arguments, good and refused ones.
const std::array<std::string, 40>& opcode_samples() {
  using namespace std::string_literals;
  static const std::array<std::string, 40> kSamples{"("s,
                                                    ")"s,
                                                    "]"s,
                                                    "}"s,
                                                    "N"s,
                                                    "Q"s,
                                                    "R"s,
                                                    "a"s,
                                                    "b"s,
                                                    "e"s,
                                                    "s"s,
                                                    "t"s,
                                                    "u"s,
                                                    "\x85"s,
                                                    "\x86"s,
                                                    "\x87"s,
                                                    "\x88"s,
                                                    "\x89"s,
                                                    "\x8f"s,
                                                    "\x90"s,
                                                    "\x91"s,
                                                    "\x93"s,
                                                    "\x94"s,
                                                    "."s,
                                                    "0"s,
                                                    "\x81"s,
                                                    "K\x01"s,
                                                    "K\x04"s,
                                                    "M\x00\x01"s,
                                                    "J\xff\xff\xff\xff"s,
                                                    "h\x00"s,
                                                    "h\x01"s,
                                                    "q\x00"s,
                                                    "q\x01"s,
                                                    "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f"s,
                                                    "X\x07\x00\x00\x00storage"s,
                                                    "X\x01\x00\x00\x00\x30"s,
                                                    "ctorch\nFloatStorage\n"s,
                                                    "ctorch._utils\n_rebuild_tensor_v2\n"s,
                                                    "ccollections\nOrderedDict\n"s};
  return kSamples;
}

void walk(const PickleValue& value, int budget) {
  if (const auto* list = value.list()) {
    for (std::size_t i = 0; i < list->size() && budget > 0; ++i) walk(*(*list)[i], budget / 4);
  } else if (const auto* dict = value.dict()) {
    for (std::size_t i = 0; i < dict->size() && budget > 0; ++i)
      walk(*(*dict)[i].second, budget / 4);
  } else if (const auto* tensor = value.tensor()) {
    require(tensor->storage.bytes().size() == tensor->storage.size, "a storage lies in the file");
    if (tensor->elements() > 4096) return;
    // A view that repeats elements is refused, which is fine.
    read("", [&] {
      const auto bytes = tensor->read();
      require(byte_size(tensor->storage.dtype, tensor->shape) == bytes.size(),
              "a view has its size");
    });
  }
}

}  // namespace

Archive unpack(std::string_view file) {
  Archive out;
  std::size_t at = 0;
  while (number_at<std::uint32_t>(file, at) == 0x04034b50) {
    const std::size_t name_size = number_at<std::uint16_t>(file, at + 26);
    const std::size_t extra_size = number_at<std::uint16_t>(file, at + 28);
    std::uint64_t size = number_at<std::uint32_t>(file, at + 18);
    if (size == kAllOnes) size = number_at<std::uint64_t>(file, at + 30 + name_size + 4);
    const std::size_t begin = at + 30 + name_size + extra_size;
    if (begin > file.size() || size > file.size() - begin) return {};
    out.emplace_back(file.substr(at + 30, name_size), file.substr(begin, size));
    at = begin + static_cast<std::size_t>(size);
    // A descriptor repeats the size in 4 or in 8 bytes.
    if (number_at<std::uint32_t>(file, at) == 0x08074b50) {
      at += number_at<std::uint32_t>(file, at + 16) == 0x04034b50 ||
                    number_at<std::uint32_t>(file, at + 16) == 0x02014b50
                ? 16
                : 24;
    }
  }
  return out;
}

std::string pack(const Archive& archive, bool wide) {
  std::string out, directory;
  for (const auto& [name, data] : archive) {
    const std::uint64_t offset = out.size();
    const std::string fields = common_fields(name, data, wide);
    const std::string local = wide ? wide_field(data.size(), nullptr) : "";
    append<std::uint32_t>(out, 0x04034b50);
    out += fields;
    append(out, static_cast<std::uint16_t>(local.size()));
    out += name + local + data;

    const std::string central = wide ? wide_field(data.size(), &offset) : "";
    append<std::uint32_t>(directory, 0x02014b50);
    append<std::uint16_t>(directory, 20);
    directory += fields;
    append(directory, static_cast<std::uint16_t>(central.size()));
    directory += std::string(10, '\0');  // comment, disk, attributes
    append(directory, wide ? kAllOnes : static_cast<std::uint32_t>(offset));
    directory += name + central;
  }
  const std::uint64_t begin = out.size();
  out += directory;
  append_end(out, begin, archive.size(), wide);
  return out;
}

void read_checkpoint(const std::string& path) {
  read(path, [&] { walk(*read_torch_checkpoint(path), 1 << 12); });
}

std::string mutated_pickle(const std::string& pickle, std::size_t limit, Random& random) {
  std::vector<std::string> opcodes = split_opcodes(pickle);
  if (opcodes.empty() || random() % 3 == 0) return mutated(pickle, limit);
  for (auto rounds = 1 + random() % 4; rounds > 0 && !opcodes.empty(); --rounds) {
    const auto at = static_cast<std::ptrdiff_t>(random() % opcodes.size());
    const std::string sample = opcode_samples()[random() % opcode_samples().size()];
    switch (random() % 6) {
      case 0:
        opcodes.erase(opcodes.begin() + at);
        break;
      case 1:
        opcodes.insert(opcodes.begin() + at, sample);
        break;
      case 2:
        opcodes.insert(opcodes.begin() + at, std::string(opcodes[random() % opcodes.size()]));
        break;
      case 3:
        std::swap(opcodes[static_cast<std::size_t>(at)], opcodes[random() % opcodes.size()]);
        break;
      case 4:
        opcodes[static_cast<std::size_t>(at)] = sample;
        break;
      default:
        opcodes[static_cast<std::size_t>(at)] =
            mutated(opcodes[static_cast<std::size_t>(at)],
                    opcodes[static_cast<std::size_t>(at)].size() + 4);
        break;
    }
  }
  std::string out;
  for (const std::string& opcode : opcodes) out += opcode;
  return out.substr(0, limit);
}

}  // namespace ditq::fuzz
