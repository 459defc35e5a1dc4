#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <iterator>
#include <tuple>

#include <fmt/format.h>
#include <simdjson.h>

#include "base/error.h"
#include "base/numbers.h"
#include "format/safetensors.h"

namespace ditq {
namespace {

constexpr std::size_t kAlignment = 8;

/// A JSON string as serde_json writes it: UTF-8 as it is, escapes only where JSON demands them, \u
/// in lower case.
void append_string(std::string& out, std::string_view text) {
  out.push_back('"');
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
        } else {
          out.push_back(c);
        }
    }
  }
  out.push_back('"');
}

void check_utf8(std::string_view text, std::string_view what, const std::string& path) {
  if (simdjson::validate_utf8(text.data(), text.size())) return;
  throw Error(ErrorCode::header_syntax, fmt::format("safetensors: {} cannot be written", what),
              {.path = path, .expected = "UTF-8", .found = "other bytes"});
}

void append_metadata(std::string& out,
                     const std::map<std::string, std::string>& metadata,
                     const std::string& path) {
  out += "\"__metadata__\":{";
  bool first = true;
  for (const auto& [key, value] : metadata) {
    check_utf8(key, "a metadata key", path);
    check_utf8(value, fmt::format("the metadata value of '{}'", key), path);
    if (!first) out.push_back(',');
    first = false;
    append_string(out, key);
    out.push_back(':');
    append_string(out, value);
  }
  out.push_back('}');
}

void append_tensor(std::string& out, const TensorToWrite& tensor, std::uint64_t offset) {
  append_string(out, tensor.name);
  fmt::format_to(std::back_inserter(out),
                 ":{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                 name(tensor.dtype), fmt::join(tensor.shape, ","), offset, offset + tensor.size);
}

/// Sets sizes and brings the tensors into upstream's order. Returns the bytes of all.
std::uint64_t set_sizes_and_order(std::vector<TensorToWrite>& tensors, const std::string& path) {
  std::uint64_t total = 0;
  for (TensorToWrite& tensor : tensors) {
    check_utf8(tensor.name, "a tensor's name", path);
    const auto size = byte_size(tensor.dtype, tensor.shape);
    const auto sum = size ? checked_add(total, *size) : std::nullopt;
    if (!sum) {
      throw Error(
          ErrorCode::bad_shape, "safetensors: a tensor's size cannot be written",
          {.path = path,
           .tensor = tensor.name,
           .expected = "a whole number of bytes, all together below 2^64",
           .found = fmt::format("{} of shape {}", name(tensor.dtype), to_string(tensor.shape))});
    }
    tensor.size = *size;
    total = *sum;
  }
  std::sort(tensors.begin(), tensors.end(), [](const TensorToWrite& a, const TensorToWrite& b) {
    return std::tie(b.dtype, a.name) < std::tie(a.dtype, b.name);
  });
  return total;
}

void check_names(const std::vector<TensorToWrite>& tensors, const std::string& path) {
  // "__metadata__" as a tensor would stand in the header twice, or be read back as metadata.
  std::vector<std::string_view> names{"__metadata__"};
  for (const TensorToWrite& tensor : tensors) names.push_back(tensor.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice == names.end()) return;
  throw Error(ErrorCode::duplicate_tensor, "safetensors: this name cannot be written twice",
              {.path = path, .tensor = std::string(*twice)});
}

void check_header_size(std::uint64_t size, const std::string& path) {
  if (size <= kMaxSafetensorsHeader) return;
  throw Error(ErrorCode::header_too_large,
              "safetensors: the header would exceed the format's limit",
              {.path = path,
               .expected = fmt::format("at most {} bytes", kMaxSafetensorsHeader),
               .found = fmt::format("{} bytes", size)});
}

std::string head_of(const std::vector<TensorToWrite>& tensors,
                    const std::map<std::string, std::string>& metadata,
                    const std::string& path) {
  std::uint64_t least = 0;
  for (const auto& [key, value] : metadata) least += key.size() + value.size();
  check_header_size(least, path);  // before the memory for it is taken

  std::string text = "{";
  if (!metadata.empty()) append_metadata(text, metadata, path);
  std::uint64_t offset = 0;
  for (const TensorToWrite& tensor : tensors) {
    if (text.size() > 1) text.push_back(',');
    append_tensor(text, tensor, offset);
    offset += tensor.size;
  }
  text.push_back('}');
  text.resize((text.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  check_header_size(text.size(), path);
  const std::uint64_t length = text.size();
  std::string head(sizeof(length), '\0');
  std::memcpy(head.data(), &length, sizeof(length));
  return head + text;
}

}  // namespace

SafetensorsLayout lay_out_safetensors(const std::string& path,
                                      std::vector<TensorToWrite> tensors,
                                      const std::map<std::string, std::string>& metadata) {
  SafetensorsLayout layout{.tensors = std::move(tensors)};
  check_names(layout.tensors, path);
  layout.data_size = set_sizes_and_order(layout.tensors, path);
  layout.head = head_of(layout.tensors, metadata, path);
  return layout;
}

SafetensorsWriter::SafetensorsWriter(const std::string& path,
                                     std::vector<TensorToWrite> tensors,
                                     const std::map<std::string, std::string>& metadata)
    : layout_(lay_out_safetensors(path, std::move(tensors), metadata)),
      file_(std::make_unique<OutputFile>(path)) {
  file_->write(std::as_bytes(std::span(layout_.head)));
}

SafetensorsWriter::~SafetensorsWriter() = default;

void SafetensorsWriter::write(Bytes bytes) {
  DITQ_ASSERT(bytes.size() <= layout_.data_size - written_);
  file_->write(bytes);
  written_ += bytes.size();
}

void SafetensorsWriter::close() {
  DITQ_ASSERT(written_ == layout_.data_size);
  file_->close();
}

void write_safetensors(const std::string& path,
                       const std::vector<TensorData>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<TensorToWrite> announced;
  std::map<std::string_view, const TensorData*> by_name;
  for (const TensorData& tensor : tensors) {
    announced.push_back({.name = tensor.name, .dtype = tensor.dtype, .shape = tensor.shape});
    by_name.emplace(tensor.name, &tensor);
  }
  SafetensorsWriter writer(path, std::move(announced), metadata);
  for (const TensorToWrite& tensor : writer.order()) {
    const Bytes bytes = by_name.at(tensor.name)->bytes;
    DITQ_ASSERT(bytes.size() == tensor.size);
    writer.write(bytes);
  }
  writer.close();
}

}  // namespace ditq
