// Source: PKWARE APPNOTE.TXT 6.3.10, sections 4.3 and 4.5.3 (zip64).

#include "format/zip_writer.h"

#include <limits>

#include <zlib.h>

#include "base/error.h"

namespace ditq {
namespace {

constexpr std::uint64_t kMost32 = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint64_t kMost16 = std::numeric_limits<std::uint16_t>::max();
constexpr std::uint16_t kUtf8Names = 0x800;
constexpr std::uint64_t kLocalHeader = 30;
constexpr std::uint64_t kChecksumPlace = 14;  ///< in a local header

void put_number(std::string& out, std::uint64_t value, int bytes) {
  for (; bytes > 0; --bytes, value >>= 8) out += static_cast<char>(value & 0xff);
}

std::uint64_t capped(std::uint64_t value) {
  return value < kMost32 ? value : kMost32;
}

/// The zip64 field with these values; empty without any.
std::string zip64_field(const std::vector<std::uint64_t>& values) {
  std::string field;
  if (values.empty()) return field;
  put_number(field, 1, 2);
  put_number(field, 8 * values.size(), 2);
  for (const std::uint64_t value : values) put_number(field, value, 8);
  return field;
}

/// An extra field "FB" that brings the position behind it to a multiple of kZipAlignment.
std::string padding_field(std::uint64_t position) {
  constexpr std::uint64_t kFieldHeader = 4;
  const std::uint64_t end = position + kFieldHeader;
  const std::uint64_t padding = (kZipAlignment - end % kZipAlignment) % kZipAlignment;
  std::string field = "FB";
  put_number(field, padding, 2);
  return field + std::string(static_cast<std::size_t>(padding), 'Z');
}

/// The fields that local header and directory share, from the version needed to the name's length.
void put_common(std::string& out, std::uint64_t size, std::uint32_t checksum, std::size_t name) {
  put_number(out, size >= kMost32 ? 45 : 20, 2);
  put_number(out, kUtf8Names, 2);
  put_number(out, 0, 2);           // stored
  put_number(out, 0x00210000, 4);  // 1980-01-01 00:00: equal content makes equal files
  put_number(out, checksum, 4);
  put_number(out, capped(size), 4);
  put_number(out, capped(size), 4);
  put_number(out, name, 2);
}

}  // namespace

ZipWriter::ZipWriter(const std::string& path) : file_(std::make_unique<OutputFile>(path)) {}
ZipWriter::~ZipWriter() = default;

void ZipWriter::put(std::string_view bytes) {
  file_->write(std::as_bytes(std::span(bytes)));
  position_ += bytes.size();
}

void ZipWriter::begin(const std::string& name, std::uint64_t size) {
  finish_entry();
  DITQ_ASSERT(name.size() < kMost16);
  entries_.push_back({.name = name, .size = size, .offset = position_, .checksum = 0});
  const std::string sizes =
      size >= kMost32 ? zip64_field({size, size}) : std::string();  // both, in a local header
  const std::string extra =
      sizes + padding_field(position_ + kLocalHeader + name.size() + sizes.size());
  std::string header = "PK\x03\x04";
  put_common(header, size, 0, name.size());
  put_number(header, extra.size(), 2);
  put(header + name + extra);
  left_ = size;
}

void ZipWriter::write(Bytes bytes) {
  DITQ_ASSERT(!entries_.empty() && bytes.size() <= left_);
  std::uint32_t& checksum = entries_.back().checksum;
  checksum = static_cast<std::uint32_t>(
      ::crc32_z(checksum, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()));
  file_->write(bytes);
  position_ += bytes.size();
  left_ -= bytes.size();
}

void ZipWriter::add(const std::string& name, std::string_view text) {
  begin(name, text.size());
  write(std::as_bytes(std::span(text)));
}

void ZipWriter::finish_entry() {
  if (entries_.empty()) return;
  DITQ_ASSERT(left_ == 0);
  std::string checksum;
  put_number(checksum, entries_.back().checksum, 4);
  file_->write_at(entries_.back().offset + kChecksumPlace, std::as_bytes(std::span(checksum)));
}

void ZipWriter::close() {
  finish_entry();
  const std::uint64_t start = position_;
  for (const Entry& entry : entries_) {
    std::vector<std::uint64_t> large;
    if (entry.size >= kMost32) large = {entry.size, entry.size};
    if (entry.offset >= kMost32) large.push_back(entry.offset);
    const std::string extra = zip64_field(large);
    std::string record = "PK\x01\x02";
    put_number(record, large.empty() ? 20 : 45, 2);
    put_common(record, entry.size, entry.checksum, entry.name.size());
    put_number(record, extra.size(), 2);
    put_number(record, 0, 10);  // no comment, first disk, no attributes
    put_number(record, capped(entry.offset), 4);
    put(record + entry.name + extra);
  }
  const std::uint64_t size = position_ - start;
  const std::uint64_t count = entries_.size();
  std::string end;
  if (start >= kMost32 || size >= kMost32 || count >= kMost16) {
    end += "PK\x06\x06";
    put_number(end, 44, 8);
    put_number(end, 45, 2);
    put_number(end, 45, 2);
    put_number(end, 0, 8);
    for (const std::uint64_t value : {count, count, size, start}) put_number(end, value, 8);
    end += "PK\x06\x07";
    put_number(end, 0, 4);
    put_number(end, position_, 8);
    put_number(end, 1, 4);
  }
  end += "PK\x05\x06";
  put_number(end, 0, 4);
  for (int i = 0; i < 2; ++i) put_number(end, count < kMost16 ? count : kMost16, 2);
  put_number(end, capped(size), 4);
  put_number(end, capped(start), 4);
  put_number(end, 0, 2);
  put(end);
  file_->close();
}

}  // namespace ditq
