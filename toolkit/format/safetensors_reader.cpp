#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <numeric>
#include <string_view>

#include <fmt/format.h>

#include "base/numbers.h"
#include "format/safetensors.h"
#include "format/strict_json.h"

namespace ditq {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::string_view kMetadataKey = "__metadata__";

/// What a file probably is that is no safetensors file, as advice.
std::string guess_other_format(const InputFile& file) {
  std::string head(static_cast<std::size_t>(std::min<std::uint64_t>(file.size(), 32)), '\0');
  file.read(0, std::as_writable_bytes(std::span(head)));
  if (head.starts_with("PK\x03\x04")) {
    return "It looks like a zip archive, perhaps written by torch.save: save it as safetensors";
  }
  if (head.starts_with("\x80\x02") || head.starts_with("\x80\x04")) {
    return "It looks like a pickle: save it as safetensors";
  }
  if (head.starts_with("GGUF")) return "It looks like a GGUF file";
  if (head.starts_with("{")) return "It begins like JSON";
  if (head.starts_with("version https://git-lfs")) {
    return "It is a Git LFS pointer: fetch the file itself (git lfs pull)";
  }
  return {};
}

/// Length field and header text; nothing beyond is read.
simdjson::padded_string read_header(const InputFile& file) {
  std::array<std::byte, kLengthBytes> field{};
  if (file.size() < kLengthBytes) {
    throw Error(ErrorCode::header_too_small,
                "safetensors: the file is too short for its length field",
                {.path = file.path(),
                 .expected = "at least 8 bytes",
                 .found = fmt::format("{} bytes", file.size())});
  }
  file.read(0, field);
  const auto length = std::bit_cast<std::uint64_t>(field);

  if (length > file.size() - kLengthBytes) {
    const std::string advice = guess_other_format(file);
    throw Error(ErrorCode::header_too_large, "safetensors: the header is longer than the file",
                {.path = file.path(),
                 .expected = fmt::format("at most {} bytes", file.size() - kLengthBytes),
                 .found = fmt::format("{} bytes", length),
                 .advice = advice.empty() ? "The file may be cut short" : advice});
  }
  if (length > kMaxSafetensorsHeader) {
    throw Error(ErrorCode::header_too_large, "safetensors: the header exceeds the format's limit",
                {.path = file.path(),
                 .expected = fmt::format("at most {} bytes", kMaxSafetensorsHeader),
                 .found = fmt::format("{} bytes", length),
                 .advice = guess_other_format(file)});
  }
  simdjson::padded_string text(length);
  if (text.data() == nullptr) {
    throw Error(ErrorCode::out_of_memory,
                fmt::format("safetensors: no memory for a header of {} bytes", length),
                {.path = file.path()});
  }
  file.read(kLengthBytes, std::as_writable_bytes(std::span(text.data(), length)));
  return text;
}

/// Turns a parsed header into tensors. One object a file.
class HeaderReader {
 public:
  HeaderReader(std::shared_ptr<const InputFile> file, std::uint64_t data_begin)
      : file_(std::move(file)), data_begin_(data_begin), data_size_(file_->size() - data_begin) {}

  SafetensorsFile read(simdjson::dom::object root) {
    out_.path = file_->path();
    std::vector<std::string_view> keys;
    for (const auto [key, value] : root) {
      keys.push_back(key);
      if (keys.size() > kMaxSafetensorsTensors) {
        fail(ErrorCode::header_syntax, "too many tensors",
             {.expected = fmt::format("at most {}", kMaxSafetensorsTensors)});
      }
      if (key == kMetadataKey) {
        read_metadata(value);
      } else {
        read_tensor(std::string(key), value);
      }
    }
    if (const auto twice = repeated_key(std::move(keys)); twice.found) {
      if (twice.key == kMetadataKey) fail(ErrorCode::header_syntax, "two __metadata__ entries", {});
      fail(ErrorCode::duplicate_tensor, "the header has this name twice", {.tensor = twice.key});
    }
    check_tiling();
    return std::move(out_);
  }

 private:
  [[noreturn]] void fail(ErrorCode code, std::string_view sentence, ErrorFacts facts) const {
    facts.path = file_->path();
    throw Error(code, fmt::format("safetensors: {}", sentence), std::move(facts));
  }

  void read_metadata(simdjson::dom::element value) {
    simdjson::dom::object object;
    if (value.get(object) != simdjson::SUCCESS) {
      fail(ErrorCode::header_syntax, "__metadata__ is not usable",
           {.expected = "an object of strings", .found = std::string(kind_of(value))});
    }
    for (const auto [key, member] : object) {
      std::string_view text;
      if (member.get(text) != simdjson::SUCCESS) {
        fail(ErrorCode::header_syntax, fmt::format("__metadata__ value of '{}' is not usable", key),
             {.expected = "a string", .found = std::string(kind_of(member))});
      }
      if (!out_.metadata.emplace(key, text).second) {
        fail(ErrorCode::header_syntax, fmt::format("__metadata__ has the key '{}' twice", key), {});
      }
    }
  }

  void read_tensor(std::string name, simdjson::dom::element value) {
    if (name.size() > kMaxTensorName) {
      fail(ErrorCode::header_syntax, "a tensor's name is too long",
           {.tensor = name.substr(0, 64) + "…",
            .expected = fmt::format("at most {} bytes", kMaxTensorName),
            .found = fmt::format("{} bytes", name.size())});
    }
    name_ = std::move(name);
    const Entry entry = members_of(value);

    TensorInfo info;
    info.dtype = read_dtype(entry.dtype);
    info.shape = read_shape(entry.shape);
    info.file = file_;
    const auto [begin, end] = read_range(entry.offsets);
    info.offset = data_begin_ + begin;
    info.size = end - begin;
    check_size(info, begin, end);
    info.name = std::move(name_);
    out_.tensors.push_back(std::move(info));
  }

  struct Entry {
    simdjson::dom::element dtype, shape, offsets;
  };

  /// Other members are ignored, as upstream does; the three must stand there once.
  Entry members_of(simdjson::dom::element value) const {
    simdjson::dom::object object;
    if (value.get(object) != simdjson::SUCCESS) {
      fail(ErrorCode::header_syntax, "a header entry is not usable",
           {.tensor = name_,
            .expected = "an object with dtype, shape and data_offsets",
            .found = std::string(kind_of(value))});
    }
    Entry entry;
    std::vector<std::string_view> keys;
    for (const auto [key, member] : object) {
      keys.push_back(key);
      if (key == "dtype") entry.dtype = member;
      if (key == "shape") entry.shape = member;
      if (key == "data_offsets") entry.offsets = member;
    }
    for (const std::string_view required : {"dtype", "shape", "data_offsets"}) {
      if (std::find(keys.begin(), keys.end(), required) == keys.end()) {
        fail(ErrorCode::header_syntax, fmt::format("a header entry has no {}", required),
             {.tensor = name_});
      }
    }
    if (const auto twice = repeated_key(std::move(keys)); twice.found) {
      fail(ErrorCode::header_syntax, fmt::format("a header entry has '{}' twice", twice.key),
           {.tensor = name_});
    }
    return entry;
  }

  Dtype read_dtype(simdjson::dom::element value) const {
    std::string_view spelling;
    if (value.get(spelling) != simdjson::SUCCESS) {
      fail(ErrorCode::header_syntax, "dtype is not usable",
           {.tensor = name_, .expected = "a string", .found = std::string(kind_of(value))});
    }
    const auto dtype = parse_dtype(spelling);
    if (!dtype) {
      fail(ErrorCode::unknown_dtype, "unknown dtype",
           {.tensor = name_,
            .expected = "a safetensors dtype such as BF16 or F8_E4M3",
            .found = fmt::format("'{}'", spelling)});
    }
    return *dtype;
  }

  Shape read_shape(simdjson::dom::element value) const {
    simdjson::dom::array extents;
    if (value.get(extents) != simdjson::SUCCESS) {
      fail(ErrorCode::header_syntax, "shape is not usable",
           {.tensor = name_,
            .expected = "an array of integers",
            .found = std::string(kind_of(value))});
    }
    Shape shape;
    for (const simdjson::dom::element extent : extents) {
      std::int64_t count = 0;
      if (extent.get(count) != simdjson::SUCCESS || count < 0) {
        fail(ErrorCode::bad_shape, "an extent is not usable",
             {.tensor = name_,
              .expected = "an integer from 0 to 9223372036854775807",
              .found = simdjson::minify(extent)});
      }
      if (shape.size() == kMaxRank) {
        fail(ErrorCode::bad_shape, "the shape has too many dimensions",
             {.tensor = name_,
              .expected = fmt::format("at most {}", kMaxRank),
              .found = fmt::format("{}", extents.size())});
      }
      shape.push_back(count);
    }
    return shape;
  }

  std::pair<std::uint64_t, std::uint64_t> read_range(simdjson::dom::element value) const {
    simdjson::dom::array pair;
    std::array<std::uint64_t, 2> range{};
    bool good = value.get(pair) == simdjson::SUCCESS && pair.size() == range.size();
    for (std::size_t i = 0; good && i < range.size(); ++i) {
      good = pair.at(i).get(range[i]) == simdjson::SUCCESS;
    }
    if (!good) {
      fail(ErrorCode::header_syntax, "data_offsets are not usable",
           {.tensor = name_,
            .expected = "two integers that are not negative",
            .found = simdjson::minify(value)});
    }
    const auto [begin, end] = range;
    if (begin > end || end > data_size_) {
      fail(ErrorCode::bad_offsets,
           begin > end ? "data_offsets run backwards" : "data_offsets leave the file",
           {.tensor = name_,
            .expected = fmt::format("a range within [0, {})", data_size_),
            .found = fmt::format("[{}, {})", begin, end),
            .advice = begin > end ? "" : "The file may be cut short"});
    }
    return {begin, end};
  }

  void check_size(const TensorInfo& info, std::uint64_t begin, std::uint64_t end) const {
    const auto needed = byte_size(info.dtype, info.shape);
    if (!needed) {
      fail(ErrorCode::bad_shape, "dtype and shape give no usable size",
           {.tensor = name_,
            .expected = "a whole number of bytes below 2^64",
            .found = fmt::format("{} of shape {}", ditq::name(info.dtype), to_string(info.shape))});
    }
    if (*needed != info.size) {
      fail(ErrorCode::bad_offsets, "data_offsets do not fit the shape",
           {.tensor = name_,
            .expected = fmt::format("{} bytes for {} of shape {}", *needed, ditq::name(info.dtype),
                                    to_string(info.shape)),
            .found = fmt::format("{} bytes at [{}, {})", info.size, begin, end)});
    }
  }

  /// Every byte of the data section belongs to exactly one tensor.
  void check_tiling() const {
    std::vector<const TensorInfo*> order;
    order.reserve(out_.tensors.size());
    for (const TensorInfo& tensor : out_.tensors) order.push_back(&tensor);
    std::sort(order.begin(), order.end(), [](const TensorInfo* a, const TensorInfo* b) {
      return std::pair(a->offset, a->size) < std::pair(b->offset, b->size);
    });
    std::uint64_t covered = data_begin_;
    const TensorInfo* previous = nullptr;
    for (const TensorInfo* tensor : order) {
      if (tensor->offset != covered) fail_gap(*tensor, previous, covered);
      covered = tensor->offset + tensor->size;
      previous = tensor;
    }
    if (covered != file_->size()) {
      fail(ErrorCode::bad_offsets, "bytes after the last tensor belong to none",
           {.expected = fmt::format("{} bytes of data", covered - data_begin_),
            .found = fmt::format("{} bytes", data_size_)});
    }
  }

  [[noreturn]] void fail_gap(const TensorInfo& tensor,
                             const TensorInfo* previous,
                             std::uint64_t covered) const {
    const bool overlap = tensor.offset < covered;
    fail(ErrorCode::bad_offsets,
         overlap ? fmt::format("data_offsets overlap those of '{}'", previous->name)
                 : "a hole before data_offsets belongs to no tensor",
         {.tensor = tensor.name,
          .expected = fmt::format("a range that begins at {}", covered - data_begin_),
          .found = fmt::format("one that begins at {}", tensor.offset - data_begin_)});
  }

  std::shared_ptr<const InputFile> file_;
  std::uint64_t data_begin_;
  std::uint64_t data_size_;
  std::string name_;  ///< of the entry that is being read
  SafetensorsFile out_;
};

}  // namespace

SafetensorsFile SafetensorsFile::open(const std::string& path) {
  auto file = InputFile::open(path);
  const simdjson::padded_string header = read_header(*file);
  if (header.size() == 0 || *header.data() != '{') {
    throw Error(ErrorCode::header_syntax, "safetensors: the header does not begin with '{'",
                {.path = path,
                 .expected = "a JSON object",
                 .found = header.size() == 0 ? "an empty header" : "another byte"});
  }
  simdjson::dom::parser parser;
  const simdjson::dom::element root =
      parse_strict(parser, header, ErrorCode::header_syntax, "safetensors", path);
  return HeaderReader(std::move(file), kLengthBytes + header.size()).read(root);
}

const TensorInfo* SafetensorsFile::find(const std::string& name) const {
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [&](const TensorInfo& tensor) { return tensor.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

}  // namespace ditq
