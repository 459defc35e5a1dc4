#include "format/zip.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <string_view>
#include <type_traits>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"

namespace ditq {
namespace {

// Signatures and record sizes: PKWARE APPNOTE 6.3.10, sections 4.3.7 to 4.3.16.
constexpr std::uint32_t kLocalSignature = 0x04034b50;
constexpr std::uint32_t kDescriptorSignature = 0x08074b50;
constexpr std::uint32_t kCentralSignature = 0x02014b50;
constexpr std::uint32_t kEndSignature = 0x06054b50;
constexpr std::uint32_t kEnd64Signature = 0x06064b50;
constexpr std::uint32_t kLocator64Signature = 0x07064b50;
constexpr std::uint64_t kLocalSize = 30;
constexpr std::uint64_t kCentralSize = 46;
constexpr std::uint64_t kEndSize = 22;
constexpr std::uint64_t kEnd64Size = 56;
constexpr std::uint64_t kLocator64Size = 20;
constexpr std::uint64_t kMaxComment = 0xffff;
constexpr std::uint16_t kZip64Extra = 0x0001;
constexpr std::uint16_t kFlagEncrypted = 1U << 0;
constexpr std::uint16_t kFlagDescriptor = 1U << 3;

[[noreturn]] void fail(const InputFile& file, std::string_view sentence, ErrorFacts facts = {}) {
  facts.path = file.path();
  throw Error(ErrorCode::zip_structure, fmt::format("zip: {}", sentence), std::move(facts));
}

[[noreturn]] void fail_entry(const InputFile& file,
                             std::string_view entry,
                             std::string_view sentence,
                             ErrorFacts facts = {}) {
  fail(file, fmt::format("entry '{}': {}", entry, sentence), std::move(facts));
}

/// Little-endian fields of a block of bytes; the caller has checked the block's length.
template <typename T>
T field(std::string_view block, std::uint64_t at) {
  static_assert(std::is_unsigned_v<T> && std::endian::native == std::endian::little);
  DITQ_ASSERT(at + sizeof(T) <= block.size());
  T value = 0;
  std::memcpy(&value, block.data() + at, sizeof(T));
  return value;
}

std::string read_block(const InputFile& file, std::uint64_t offset, std::uint64_t size) {
  std::string block(static_cast<std::size_t>(size), '\0');
  file.read(offset, std::as_writable_bytes(std::span(block)));
  return block;
}

/// Where the central directory lies and how many entries it announces.
struct Directory {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  std::uint64_t entries = 0;
};

/// Position of the end-of-central-directory record: the last one whose comment ends with the file.
std::uint64_t find_end_record(const InputFile& file) {
  if (file.size() >= kEndSize) {
    const std::uint64_t window = std::min(file.size(), kEndSize + kMaxComment);
    const std::string tail = read_block(file, file.size() - window, window);
    for (std::uint64_t at = window - kEndSize + 1; at-- > 0;) {
      if (field<std::uint32_t>(tail, at) != kEndSignature) continue;
      if (at + kEndSize + field<std::uint16_t>(tail, at + 20) == window) {
        return file.size() - window + at;
      }
    }
  }
  fail(file, "no central directory",
       {.expected = "a zip archive as torch.save writes it",
        .found = fmt::format("{} bytes without a zip archive's end record", file.size()),
        .advice = file.size() == 0 ? "The file is empty" : "The file may be cut short"});
}

/// The zip64 record, if a locator stands right before the end record.
std::optional<Directory> read_end64(const InputFile& file, std::uint64_t end_at) {
  if (end_at < kLocator64Size + kEnd64Size) return std::nullopt;
  const std::string locator = read_block(file, end_at - kLocator64Size, kLocator64Size);
  if (field<std::uint32_t>(locator, 0) != kLocator64Signature) return std::nullopt;
  const auto at = field<std::uint64_t>(locator, 8);
  if (at != end_at - kLocator64Size - kEnd64Size || field<std::uint32_t>(locator, 16) != 1) {
    fail(file, "the zip64 locator does not point to the record before it");
  }
  const std::string record = read_block(file, at, kEnd64Size);
  if (field<std::uint32_t>(record, 0) != kEnd64Signature ||
      field<std::uint64_t>(record, 4) != kEnd64Size - 12) {
    fail(file, "there is no zip64 end record where its locator points");
  }
  if (field<std::uint32_t>(record, 16) != 0 || field<std::uint32_t>(record, 20) != 0 ||
      field<std::uint64_t>(record, 24) != field<std::uint64_t>(record, 32)) {
    fail(file, "archives in several parts are not supported");
  }
  return Directory{.offset = field<std::uint64_t>(record, 48),
                   .size = field<std::uint64_t>(record, 40),
                   .entries = field<std::uint64_t>(record, 32)};
}

/// A field of the small end record may be all ones when the zip64 record has the value; otherwise
/// both must agree.
bool agrees(std::uint64_t small, std::uint64_t large, std::uint64_t all_ones) {
  return small == all_ones || small == large;
}

Directory find_directory(const InputFile& file) {
  const std::uint64_t end_at = find_end_record(file);
  const std::string end = read_block(file, end_at, kEndSize);
  const std::uint64_t entries = field<std::uint16_t>(end, 10);
  const std::uint64_t size = field<std::uint32_t>(end, 12);
  const std::uint64_t offset = field<std::uint32_t>(end, 16);
  if (field<std::uint16_t>(end, 4) != 0 || field<std::uint16_t>(end, 6) != 0 ||
      field<std::uint16_t>(end, 8) != entries) {
    fail(file, "archives in several parts are not supported");
  }
  const auto large = read_end64(file, end_at);
  const Directory directory =
      large.value_or(Directory{.offset = offset, .size = size, .entries = entries});
  if (!agrees(entries, directory.entries, 0xffff) || !agrees(size, directory.size, 0xffffffff) ||
      !agrees(offset, directory.offset, 0xffffffff)) {
    fail(file, "the two end records disagree");
  }
  const std::uint64_t directory_end = large ? end_at - kLocator64Size - kEnd64Size : end_at;
  if (directory.offset > directory_end || directory.size != directory_end - directory.offset) {
    fail(file, "the central directory is not where the end record says",
         {.expected = fmt::format("a directory that ends at byte {}", directory_end),
          .found = fmt::format("{} bytes at byte {}", directory.size, directory.offset)});
  }
  if (directory.entries > kMaxZipEntries || directory.size > kMaxZipDirectory) {
    fail(file, "the central directory is too large",
         {.expected = fmt::format("at most {} entries", kMaxZipEntries),
          .found = fmt::format("{} entries in {} bytes", directory.entries, directory.size)});
  }
  return directory;
}

/// Sizes and offset of an entry, completed from its zip64 extra field where the short fields are
/// all ones.
struct Extents {
  std::uint64_t size = 0;
  std::uint64_t stored = 0;
  std::uint64_t offset = 0;
};

/// Takes 64-bit values from the extra field in the order the format prescribes. False when one is
/// missing.
bool complete_from_extra(std::string_view extra, Extents& extents) {
  std::string_view values;
  while (extra.size() >= 4) {
    const auto id = field<std::uint16_t>(extra, 0);
    const std::size_t length = field<std::uint16_t>(extra, 2);
    if (length > extra.size() - 4) return false;
    if (id == kZip64Extra) values = extra.substr(4, length);
    extra.remove_prefix(4 + length);
  }
  for (std::uint64_t* value : {&extents.size, &extents.stored, &extents.offset}) {
    if (*value != 0xffffffff) continue;
    if (values.size() < 8) return false;
    *value = field<std::uint64_t>(values, 0);
    values.remove_prefix(8);
  }
  return true;
}

/// One entry as the central directory describes it.
struct CentralEntry {
  std::string name;
  std::uint16_t flags = 0;
  Extents extents;
};

/// Nothing is ever unpacked here, but an archive with such names was made to harm whoever unpacks it.
void check_entry_name(const InputFile& file, std::string_view name) {
  if (name.size() > kMaxZipName) {
    fail_entry(file, name.substr(0, 64), "its name is too long",
               {.expected = fmt::format("at most {} bytes", kMaxZipName),
                .found = fmt::format("{} bytes", name.size())});
  }
  const bool drive = name.size() > 2 && name[1] == ':' && (name[2] == '/' || name[2] == '\\');
  bool leaves = name.starts_with('/') || name.starts_with('\\') || drive;
  for (std::size_t at = 0; at <= name.size();) {
    const std::size_t end = std::min(name.find_first_of("/\\", at), name.size());
    leaves = leaves || name.substr(at, end - at) == "..";
    at = end + 1;
  }
  if (leaves) fail_entry(file, name, "its name leads out of the archive's folder");
  const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7F; };
  if (name.empty() || std::any_of(name.begin(), name.end(), is_control)) {
    fail_entry(file, name, "its name is empty or has control characters");
  }
}

/// Reads the entry at the front of `rest` and removes it.
CentralEntry take_central_entry(const InputFile& file, std::string_view& rest) {
  if (rest.size() < kCentralSize || field<std::uint32_t>(rest, 0) != kCentralSignature) {
    fail(file, "the central directory is damaged");
  }
  const std::size_t name_size = field<std::uint16_t>(rest, 28);
  const std::size_t extra_size = field<std::uint16_t>(rest, 30);
  const std::size_t comment_size = field<std::uint16_t>(rest, 32);
  if (rest.size() - kCentralSize < name_size + extra_size + comment_size) {
    fail(file, "the central directory is damaged");
  }
  CentralEntry entry;
  entry.name = rest.substr(kCentralSize, name_size);
  entry.flags = field<std::uint16_t>(rest, 8);
  entry.extents = {.size = field<std::uint32_t>(rest, 24),
                   .stored = field<std::uint32_t>(rest, 20),
                   .offset = field<std::uint32_t>(rest, 42)};
  const auto method = field<std::uint16_t>(rest, 10);
  const std::string_view extra = rest.substr(kCentralSize + name_size, extra_size);
  check_entry_name(file, entry.name);
  if (!complete_from_extra(extra, entry.extents)) {
    fail_entry(file, entry.name, "the zip64 field is damaged");
  }
  if ((entry.flags & kFlagEncrypted) != 0) {
    fail_entry(file, entry.name, "it is encrypted");
  }
  if (method != 0 || entry.extents.size != entry.extents.stored) {
    fail_entry(file, entry.name, "it is compressed",
               {.expected = "stored entries, as torch.save writes them",
                .found = fmt::format("compression method {}", method),
                .advice = "Save it with torch.save (TorchScript archives are not read)"});
  }
  rest.remove_prefix(kCentralSize + name_size + extra_size + comment_size);
  return entry;
}

/// An entry's whole range: local header, data and descriptor.
struct Placed {
  std::string name;
  ZipEntry data;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// Bytes of the data descriptor behind an entry; it repeats the size in 4 or in 8 bytes.
std::uint64_t descriptor_size(const InputFile& file,
                              const Placed& entry,
                              std::uint64_t directory_begin) {
  for (const std::uint64_t width : {std::uint64_t{4}, std::uint64_t{8}}) {
    const std::uint64_t size = 8 + 2 * width;
    if (directory_begin - entry.end < size) break;
    const std::string block = read_block(file, entry.end, size);
    if (field<std::uint32_t>(block, 0) != kDescriptorSignature) break;
    const auto value = [&](std::uint64_t at) {
      return width == 4 ? field<std::uint32_t>(block, at) : field<std::uint64_t>(block, at);
    };
    if (value(8) == entry.data.size && value(8 + width) == entry.data.size) return size;
  }
  fail_entry(file, entry.name,
             "its data descriptor is missing or has another size than the directory",
             {.expected = fmt::format("{} bytes", entry.data.size)});
}

/// Compares the local header with the directory and finds where the data begins.
Placed place(const InputFile& file, const CentralEntry& entry, std::uint64_t directory_begin) {
  const Extents& extents = entry.extents;
  const auto outside = [&]() {
    fail_entry(file, entry.name, "it leaves the file",
               {.expected = fmt::format("a range before byte {}", directory_begin),
                .found = fmt::format("{} bytes at byte {}", extents.size, extents.offset)});
  };
  if (extents.offset > directory_begin || directory_begin - extents.offset < kLocalSize) outside();
  const std::string header = read_block(file, extents.offset, kLocalSize);
  if (field<std::uint32_t>(header, 0) != kLocalSignature) {
    fail_entry(file, entry.name, "there is no local header");
  }
  const std::uint64_t name_size = field<std::uint16_t>(header, 26);
  const std::uint64_t extra_size = field<std::uint16_t>(header, 28);
  const std::uint64_t room = directory_begin - extents.offset - kLocalSize;
  if (room < name_size + extra_size || room - name_size - extra_size < extents.size) outside();

  const std::string names = read_block(file, extents.offset + kLocalSize, name_size + extra_size);
  const auto flags = field<std::uint16_t>(header, 6);
  if (names.substr(0, name_size) != entry.name || field<std::uint16_t>(header, 8) != 0 ||
      ((flags ^ entry.flags) & (kFlagEncrypted | kFlagDescriptor)) != 0) {
    fail_entry(file, entry.name, "local header and directory disagree");
  }
  Placed placed{.name = entry.name, .begin = extents.offset};
  placed.data.offset = extents.offset + kLocalSize + name_size + extra_size;
  placed.data.size = extents.size;
  placed.end = placed.data.offset + placed.data.size;
  if ((flags & kFlagDescriptor) != 0) {
    placed.end += descriptor_size(file, placed, directory_begin);
    return placed;
  }
  Extents local{.size = field<std::uint32_t>(header, 22),
                .stored = field<std::uint32_t>(header, 18),
                .offset = 0};
  if (!complete_from_extra(std::string_view(names).substr(name_size), local) ||
      local.size != extents.size || local.stored != extents.size) {
    fail_entry(file, entry.name, "local header and directory disagree");
  }
  return placed;
}

void check_apart(const InputFile& file, std::vector<Placed>& entries) {
  std::sort(entries.begin(), entries.end(),
            [](const Placed& a, const Placed& b) { return a.begin < b.begin; });
  for (std::size_t i = 1; i < entries.size(); ++i) {
    if (entries[i].begin >= entries[i - 1].end) continue;
    fail_entry(file, entries[i].name, fmt::format("it overlaps '{}'", entries[i - 1].name));
  }
}

}  // namespace

std::map<std::string, ZipEntry> read_zip_directory(const InputFile& file) {
  const Directory directory = find_directory(file);
  const std::string block = read_block(file, directory.offset, directory.size);
  std::string_view rest = block;
  std::vector<Placed> placed;
  while (!rest.empty()) {
    placed.push_back(place(file, take_central_entry(file, rest), directory.offset));
  }
  if (placed.size() != directory.entries) {
    fail(file, "the central directory has another number of entries than the end record says",
         {.expected = fmt::format("{}", directory.entries),
          .found = fmt::format("{}", placed.size())});
  }
  check_apart(file, placed);
  std::map<std::string, ZipEntry> out;
  for (const Placed& entry : placed) {
    if (!out.emplace(entry.name, entry.data).second) {
      fail_entry(file, entry.name, "two entries have this name");
    }
  }
  return out;
}

}  // namespace ditq
