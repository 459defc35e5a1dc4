#include "format/torch_pickle.h"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <unordered_map>

#include <fmt/format.h>

#include "base/error.h"
#include "base/numbers.h"
#include "format/pickle_machine.h"
#include "format/torch_rules.h"
#include "format/zip.h"

namespace ditq {
namespace {

constexpr std::string_view kPickleName = "data.pkl";
constexpr std::uint64_t kMaxByteOrder = 16;  ///< bytes of the byteorder entry: "little" or "big"

/// The first bytes of torch's format before 1.6: a protocol 2 pickle of the number
/// 0x1950a86a20f9469cfc6c.
constexpr std::string_view kLegacyMagic{"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19",
                                        14};

/// Says what a file is that is no zip archive, before the search for a directory fails without a
/// reason.
void check_not_legacy(const InputFile& file) {
  std::array<char, kLegacyMagic.size()> head{};
  if (file.size() < head.size()) return;
  file.read(0, std::as_writable_bytes(std::span(head)));
  if (std::string_view(head.data(), head.size()) != kLegacyMagic) return;
  throw Error(ErrorCode::zip_structure, "torch: the file has the format of PyTorch before 1.6",
              {.path = file.path(),
               .expected = "a zip archive",
               .advice = "Save it again: torch.save(torch.load(path, weights_only=True), path)"});
}

std::string read_entry(const InputFile& file, const ZipEntry& entry) {
  std::string text(static_cast<std::size_t>(entry.size), '\0');
  file.read(entry.offset, std::as_writable_bytes(std::span(text)));
  return text;
}

/// The folder of all entries, with its slash: the one that holds data.pkl.
std::string find_root(const InputFile& file, const std::map<std::string, ZipEntry>& entries) {
  std::vector<std::string> roots;
  for (const auto& [name, entry] : entries) {
    const std::size_t slash = name.find('/');
    if (slash == std::string::npos || name.substr(slash + 1) != kPickleName) continue;
    roots.push_back(name.substr(0, slash + 1));
  }
  if (roots.size() != 1) {
    throw Error(
        ErrorCode::zip_structure, "torch: the archive was not written by torch.save",
        {.path = file.path(),
         .expected = "one entry FOLDER/data.pkl",
         .found = fmt::format("{} of them among {} entries", roots.size(), entries.size())});
  }
  if (entries.contains(roots[0] + "constants.pkl")) {
    throw Error(ErrorCode::unsupported, "torch: the archive is a TorchScript module",
                {.path = file.path(), .advice = "Save its state_dict() with torch.save"});
  }
  return roots[0];
}

/// torch.save writes one folder: anything else was put there by somebody, and so was an archive in the archive. What lies
/// under data/ is taken for tensors only, whatever it looks like.
void check_contents(const InputFile& file,
                    const std::map<std::string, ZipEntry>& entries,
                    const std::string& root) {
  constexpr std::string_view kZipStart = "PK\x03\x04";
  for (const auto& [name, entry] : entries) {
    if (!name.starts_with(root)) {
      throw Error(ErrorCode::zip_structure,
                  fmt::format("torch: entry '{}' lies outside the checkpoint's folder", name),
                  {.path = file.path(), .expected = fmt::format("entries under '{}' only", root)});
    }
    if (name.starts_with(root + "data/") || entry.size < kZipStart.size()) continue;
    const ZipEntry head{.offset = entry.offset, .size = kZipStart.size()};
    if (read_entry(file, head) != kZipStart) continue;
    throw Error(
        ErrorCode::zip_structure,
        fmt::format("torch: entry '{}' is an archive in the archive", name),
        {.path = file.path(), .expected = "a pickle and storages, as torch.save writes them"});
  }
}

void check_byte_order(const InputFile& file,
                      const std::map<std::string, ZipEntry>& entries,
                      const std::string& root) {
  const auto entry = entries.find(root + "byteorder");
  if (entry == entries.end())
    return;  // written since PyTorch 2.1; before that always the machine's
  const std::string order =
      entry->second.size <= kMaxByteOrder ? read_entry(file, entry->second) : "a long text";
  if (order == "little") return;
  throw Error(ErrorCode::unsupported, "torch: the storages are not little-endian",
              {.path = file.path(), .expected = "'little'", .found = fmt::format("'{}'", order)});
}

/// Turns the machine's nodes into shared plain data; refuses cycles, depth and repeated keys.
class Freezer {
 public:
  Freezer(const PickleMachine& machine, const TorchRules& rules)
      : machine_(machine), rules_(rules) {}

  PicklePtr freeze(const PickleNode& node) { return visit(node, 0).value; }

 private:
  struct Frozen {
    PicklePtr value;
    std::uint64_t tree = 1;    ///< values in it, shared ones counted once a use
    std::uint32_t height = 1;  ///< levels
    bool open = true;          ///< its members are being visited
  };

  const Frozen& visit(const PickleNode& node, std::uint32_t depth) {
    if (depth >= kMaxPickleDepth) fail_depth();
    const auto [place, added] = frozen_.try_emplace(&node);
    Frozen& frozen = place->second;  // references stay valid while the map grows
    if (!added) {
      if (frozen.open) machine_.fail("a value contains itself");
      return frozen;
    }
    auto value = std::make_shared<PickleValue>();
    value->data = convert(node, frozen, depth);
    frozen.value = std::move(value);
    frozen.open = false;
    return frozen;
  }

  decltype(PickleValue::data) convert(const PickleNode& node, Frozen& frozen, std::uint32_t depth) {
    if (const auto* sequence = node.get_if<PickleSequence>()) {
      PickleValue::List list;
      for (const PickleNode* item : sequence->items) list.push_back(member(*item, frozen, depth));
      return list;
    }
    if (const auto* table = node.get_if<PickleTable>()) {
      PickleValue::Dict dict;
      for (const auto& [key, value] : table->items) {
        PicklePtr name = member(*key, frozen, depth);
        dict.emplace_back(std::move(name), member(*value, frozen, depth));
      }
      check_keys(dict);
      return dict;
    }
    if (const auto* global = node.get_if<PickleGlobal>()) {
      if (is_torch_dtype(global->name)) return global->name;
      throw Error(ErrorCode::pickle_global,
                  fmt::format("pickle: '{}' stands where data is expected", global->name),
                  {.path = rules_.path()});
    }
    if (const auto* storage = node.get_if<PickleStorage>()) return rules_.whole(*storage);
    if (const auto* tensor = node.get_if<std::unique_ptr<TorchTensor>>()) return **tensor;
    if (const auto* text = node.get_if<std::string>()) return *text;
    if (const auto* number = node.get_if<double>()) return *number;
    if (const auto* number = node.get_if<std::int64_t>()) return *number;
    if (const auto* truth = node.get_if<bool>()) return *truth;
    return std::monostate{};
  }

  PicklePtr member(const PickleNode& node, Frozen& parent, std::uint32_t depth) {
    const Frozen& child = visit(node, depth + 1);
    parent.tree += child.tree;
    parent.height = std::max(parent.height, child.height + 1);
    if (parent.height > kMaxPickleDepth) fail_depth();
    if (parent.tree > kMaxPickleTree) machine_.fail("its shared values unfold without end");
    return child.value;
  }

  [[noreturn]] void fail_depth() const {
    machine_.fail("values are nested too deep",
                  {.expected = fmt::format("at most {} levels", kMaxPickleDepth)});
  }

  /// Two tensors of one name would leave open which one counts.
  void check_keys(const PickleValue::Dict& dict) const {
    std::vector<std::string_view> keys;
    for (const auto& [key, value] : dict) {
      if (const std::string* text = key->string()) keys.push_back(*text);
    }
    std::sort(keys.begin(), keys.end());
    const auto twice = std::adjacent_find(keys.begin(), keys.end());
    if (twice != keys.end()) machine_.fail(fmt::format("a dict has the key '{}' twice", *twice));
  }

  const PickleMachine& machine_;
  const TorchRules& rules_;
  std::unordered_map<const PickleNode*, Frozen> frozen_;
};

/// Copies a strided view out of the bytes that hold it, one run of the innermost dimension after the
/// other.
class StridedReader {
 public:
  /// `source` begins at the view's first element.
  StridedReader(const TorchTensor& tensor, Bytes source, std::vector<std::byte>& out)
      : tensor_(tensor), element_(bits(tensor.storage.dtype) / 8), source_(source), out_(out) {}

  void read(std::size_t dimension, std::uint64_t first) {
    if (dimension == tensor_.shape.size()) {
      copy(first, 1);
      return;
    }
    const auto extent = static_cast<std::uint64_t>(tensor_.shape[dimension]);
    const auto stride = static_cast<std::uint64_t>(tensor_.strides[dimension]);
    if (dimension + 1 == tensor_.shape.size() && stride == 1) {
      copy(first, extent);
      return;
    }
    for (std::uint64_t i = 0; i < extent; ++i) read(dimension + 1, first + i * stride);
  }

 private:
  void copy(std::uint64_t first, std::uint64_t count) {
    const Bytes part = source_.subspan(first * element_, count * element_);
    out_.insert(out_.end(), part.begin(), part.end());
  }

  const TorchTensor& tensor_;
  std::uint64_t element_;
  Bytes source_;
  std::vector<std::byte>& out_;
};

/// Elements from a view's first to its last; the view has some, and the reader checked that they fit.
std::uint64_t reach_of(const TorchTensor& tensor) {
  std::uint64_t reach = 1;
  for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
    reach += static_cast<std::uint64_t>(tensor.shape[i] - 1) *
             static_cast<std::uint64_t>(tensor.strides[i]);
  }
  return reach;
}

}  // namespace

std::uint64_t TorchTensor::elements() const {
  const auto count = element_count(shape);
  DITQ_ASSERT(count.has_value());
  return *count;
}

std::vector<std::byte> TorchTensor::read() const {
  const std::uint64_t count = elements();
  if (count > static_cast<std::uint64_t>(storage.shape[0])) {
    throw Error(ErrorCode::unsupported,
                fmt::format("torch: a tensor repeats elements of its storage '{}'", storage.name),
                {.path = storage.file->path(),
                 .expected = fmt::format("at most {} elements", storage.shape[0]),
                 .found = to_string(shape),
                 .advice = "Save it after .contiguous()"});
  }
  std::vector<std::byte> out;
  if (count == 0) return out;
  // Read, not mapped: a mapping keeps whole clusters of pages resident for each small tensor.
  const std::uint64_t element = bits(storage.dtype) / 8;
  std::vector<std::byte> source(static_cast<std::size_t>(reach_of(*this) * element));
  storage.file->read(storage.offset + static_cast<std::uint64_t>(storage_offset) * element, source);
  out.reserve(static_cast<std::size_t>(count * element));
  StridedReader(*this, source, out).read(0, 0);
  return out;
}

const PickleValue* PickleValue::find(const std::string& key) const {
  const Dict* items = dict();
  if (items == nullptr) return nullptr;
  for (const auto& [name, value] : *items) {
    const std::string* text = name->string();
    if (text != nullptr && *text == key) return value.get();
  }
  return nullptr;
}

PicklePtr read_torch_checkpoint(const std::string& path) {
  const auto file = InputFile::open(path);
  check_not_legacy(*file);
  const auto entries = read_zip_directory(*file);
  const std::string root = find_root(*file, entries);
  check_contents(*file, entries, root);
  check_byte_order(*file, entries, root);

  const ZipEntry& pickle_entry = entries.at(root + std::string(kPickleName));
  if (pickle_entry.size > kMaxPickleBytes) {
    throw Error(ErrorCode::pickle_structure, "pickle: it is too large",
                {.path = path,
                 .expected = fmt::format("at most {} bytes", kMaxPickleBytes),
                 .found = fmt::format("{} bytes", pickle_entry.size)});
  }
  const std::string pickle = read_entry(*file, pickle_entry);
  TorchRules rules(file, entries, root);
  PickleMachine machine(pickle, path, rules);
  const PickleNode* result = machine.run();
  return Freezer(machine, rules).freeze(*result);
}

}  // namespace ditq
