#include "format/torch_rules.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "base/numbers.h"
#include "format/safetensors.h"

namespace ditq {
namespace {

/// A torch dtype or storage class and its dtype here; nothing where containers of ditq have none.
struct TypeName {
  std::string_view name;
  std::optional<Dtype> dtype;
};

constexpr TypeName kDtypes[] = {
    {"torch.bool", Dtype::boolean},
    {"torch.uint8", Dtype::u8},
    {"torch.int8", Dtype::i8},
    {"torch.int16", Dtype::i16},
    {"torch.uint16", Dtype::u16},
    {"torch.int32", Dtype::i32},
    {"torch.uint32", Dtype::u32},
    {"torch.int64", Dtype::i64},
    {"torch.uint64", Dtype::u64},
    {"torch.float16", Dtype::f16},
    {"torch.bfloat16", Dtype::bf16},
    {"torch.float32", Dtype::f32},
    {"torch.float64", Dtype::f64},
    {"torch.complex64", Dtype::c64},
    {"torch.float8_e4m3fn", Dtype::f8_e4m3},
    {"torch.float8_e5m2", Dtype::f8_e5m2},
    {"torch.float8_e8m0fnu", Dtype::f8_e8m0},
    {"torch.float8_e4m3fnuz", Dtype::f8_e4m3fnuz},
    {"torch.float8_e5m2fnuz", Dtype::f8_e5m2fnuz},
    {"torch.float4_e2m1fn_x2", std::nullopt},
    {"torch.complex32", std::nullopt},
    {"torch.complex128", std::nullopt},
    {"torch.quint8", std::nullopt},
    {"torch.qint8", std::nullopt},
    {"torch.qint32", std::nullopt},
    {"torch.quint4x2", std::nullopt},
    {"torch.quint2x4", std::nullopt},
};

constexpr TypeName kStorages[] = {
    {"torch.BoolStorage", Dtype::boolean},     {"torch.ByteStorage", Dtype::u8},
    {"torch.CharStorage", Dtype::i8},          {"torch.ShortStorage", Dtype::i16},
    {"torch.IntStorage", Dtype::i32},          {"torch.LongStorage", Dtype::i64},
    {"torch.HalfStorage", Dtype::f16},         {"torch.BFloat16Storage", Dtype::bf16},
    {"torch.FloatStorage", Dtype::f32},        {"torch.DoubleStorage", Dtype::f64},
    {"torch.ComplexFloatStorage", Dtype::c64}, {"torch.ComplexDoubleStorage", std::nullopt},
    {"torch.QUInt8Storage", std::nullopt},     {"torch.QInt8Storage", std::nullopt},
    {"torch.QInt32Storage", std::nullopt},     {"torch.QUInt4x2Storage", std::nullopt},
    {"torch.QUInt2x4Storage", std::nullopt},
};

/// Bytes, typed by each tensor on it.
constexpr std::string_view kUntypedStorage = "torch.storage.UntypedStorage";

constexpr std::string_view kTensorV2 = "torch._utils._rebuild_tensor_v2";
constexpr std::string_view kTensorV3 = "torch._utils._rebuild_tensor_v3";
constexpr std::string_view kParameter = "torch._utils._rebuild_parameter";
constexpr std::string_view kParameterWithState = "torch._utils._rebuild_parameter_with_state";
constexpr std::string_view kFromType = "torch._tensor._rebuild_from_type_v2";
constexpr std::string_view kOrderedDict = "collections.OrderedDict";
constexpr std::string_view kSize = "torch.Size";
constexpr std::string_view kDevice = "torch.device";
constexpr std::string_view kSet = "builtins.set";
constexpr std::string_view kFrozenSet = "builtins.frozenset";
constexpr std::string_view kEncode = "_codecs.encode";

constexpr std::array kCallable{kTensorV2, kTensorV3,    kParameter, kParameterWithState,
                               kFromType, kOrderedDict, kSize,      kDevice,
                               kSet,      kFrozenSet,   kEncode};

/// Types that _rebuild_from_type_v2 may name: a plain tensor with Python attributes.
constexpr std::array<std::string_view, 3> kTensorTypes{
    "torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer"};

template <std::size_t N>
const TypeName* find_type(const TypeName (&table)[N], std::string_view name) {
  const auto* found = std::find_if(std::begin(table), std::end(table),
                                   [&](const TypeName& type) { return type.name == name; });
  return found == std::end(table) ? nullptr : found;
}

template <std::size_t N>
bool contains(const std::array<std::string_view, N>& table, std::string_view name) {
  return std::find(table.begin(), table.end(), name) != table.end();
}

/// Integers of a tuple, none negative.
std::vector<std::int64_t> extents_of(const PickleNode& node, PickleMachine& machine) {
  const auto* tuple = node.get_if<PickleSequence>();
  if (tuple == nullptr) machine.fail("a tensor's shape or strides are no tuple");
  if (tuple->items.size() > kMaxRank) {
    machine.fail("a tensor has too many dimensions",
                 {.expected = fmt::format("at most {}", kMaxRank),
                  .found = fmt::format("{}", tuple->items.size())});
  }
  machine.charge(tuple->items.size());
  std::vector<std::int64_t> out;
  for (const PickleNode* item : tuple->items) {
    const auto* value = item->get_if<std::int64_t>();
    if (value == nullptr || *value < 0) {
      machine.fail("a tensor's shape or strides are no counts",
                   {.expected = "integers that are not negative"});
    }
    out.push_back(*value);
  }
  return out;
}

/// Bits that change what the bytes mean, such as "conj": none may be set.
void check_tensor_metadata(const PickleNode& node,
                           PickleMachine& machine,
                           const std::string& path) {
  if (node.get_if<std::monostate>() != nullptr) return;
  const auto* table = node.get_if<PickleTable>();
  if (table == nullptr) machine.fail("a tensor's metadata is no dict");
  for (const auto& [key, value] : table->items) {
    const auto* set = value->get_if<bool>();
    if (set != nullptr && !*set) continue;
    const auto* name = key->get_if<std::string>();
    throw Error(ErrorCode::unsupported,
                "torch: a tensor with deferred arithmetic (a conjugate or negative view)",
                {.path = path,
                 .found = name == nullptr ? "a metadata entry" : fmt::format("'{}'", *name),
                 .advice = "Save it after .resolve_conj().resolve_neg()"});
  }
}

/// Protocol 2 writes bytes as text in Latin-1.
std::string latin1_bytes(std::string_view text, PickleMachine& machine) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto lead = static_cast<unsigned char>(text[i]);
    if (lead < 0x80) {
      out.push_back(text[i]);
    } else if ((lead == 0xc2 || lead == 0xc3) && i + 1 < text.size()) {
      const auto low = static_cast<unsigned char>(text[++i]);
      out.push_back(static_cast<char>(((lead & 0x03U) << 6U) | (low & 0x3fU)));
    } else {
      machine.fail("bytes are written with a character beyond Latin-1");
    }
  }
  return out;
}

PickleNode* make_bytes(const PickleSequence& arguments, PickleMachine& machine) {
  const auto* text =
      arguments.items.size() == 2 ? arguments.items[0]->get_if<std::string>() : nullptr;
  const auto* codec = text == nullptr ? nullptr : arguments.items[1]->get_if<std::string>();
  if (codec == nullptr || *codec != "latin1") machine.fail("_codecs.encode is not used for bytes");
  machine.charge(text->size() / 16);  // the text may come from the memo, any number of times
  return machine.make(latin1_bytes(*text, machine));
}

PickleNode* make_device(const PickleSequence& arguments, PickleMachine& machine) {
  const auto& items = arguments.items;
  const auto* kind = items.empty() ? nullptr : items[0]->get_if<std::string>();
  const auto* index = items.size() == 2 ? items[1]->get_if<std::int64_t>() : nullptr;
  if (kind == nullptr || kind->size() > 64 || (items.size() != 1 && index == nullptr)) {
    machine.fail("a device is no text and number");
  }
  return machine.make(index == nullptr ? *kind : fmt::format("{}:{}", *kind, *index));
}

/// A set or torch.Size from the one sequence it is given; without arguments it is empty.
PickleNode* make_sequence(const PickleSequence& arguments,
                          PickleSequence::Kind kind,
                          PickleMachine& machine) {
  PickleSequence out{.kind = kind, .items = {}};
  if (arguments.items.size() > 1) machine.fail("a set or size of several arguments");
  if (!arguments.items.empty()) {
    const auto* source = arguments.items[0]->get_if<PickleSequence>();
    if (source == nullptr) machine.fail("a set or size of what is no list");
    machine.charge(source->items.size());
    out.items = source->items;
  }
  return machine.make(std::move(out));
}

}  // namespace

bool is_torch_dtype(const std::string& global) {
  return find_type(kDtypes, global) != nullptr;
}

TorchRules::TorchRules(std::shared_ptr<const InputFile> file,
                       const std::map<std::string, ZipEntry>& entries,
                       std::string root)
    : file_(std::move(file)), entries_(entries), root_(std::move(root)) {}

bool TorchRules::knows(const std::string& global) const {
  return find_type(kDtypes, global) != nullptr || find_type(kStorages, global) != nullptr ||
         global == kUntypedStorage || contains(kCallable, global) || contains(kTensorTypes, global);
}

PickleNode* TorchRules::call(const std::string& global,
                             const PickleSequence& arguments,
                             PickleMachine& machine) {
  const auto& items = arguments.items;
  if (global == kTensorV2) return make_tensor(arguments, /*names_dtype=*/false, machine);
  if (global == kTensorV3) return make_tensor(arguments, /*names_dtype=*/true, machine);
  if (global == kParameter || global == kParameterWithState) {
    if (items.size() != (global == kParameter ? 3U : 4U) ||
        items[0]->get_if<std::unique_ptr<TorchTensor>>() == nullptr) {
      machine.fail("a parameter is no tensor");
    }
    return items[0];
  }
  if (global == kFromType) {
    const auto* rebuild = items.size() == 4 ? items[0]->get_if<PickleGlobal>() : nullptr;
    const auto* type = rebuild == nullptr ? nullptr : items[1]->get_if<PickleGlobal>();
    const auto* inner = type == nullptr ? nullptr : items[2]->get_if<PickleSequence>();
    if (inner == nullptr || !contains(kTensorTypes, type->name) ||
        (rebuild->name != kTensorV2 && rebuild->name != kTensorV3)) {
      machine.fail("a tensor with attributes is not built from a plain tensor");
    }
    return make_tensor(*inner, rebuild->name == kTensorV3, machine);
  }
  if (global == kOrderedDict) {
    if (!items.empty()) machine.fail("an OrderedDict is called with arguments");
    return machine.make(PickleTable{.ordered = true, .items = {}});
  }
  if (global == kSize) return make_sequence(arguments, PickleSequence::Kind::tuple, machine);
  if (global == kSet || global == kFrozenSet) {
    return make_sequence(arguments, PickleSequence::Kind::set, machine);
  }
  if (global == kDevice) return make_device(arguments, machine);
  if (global == kEncode) return make_bytes(arguments, machine);
  throw Error(ErrorCode::pickle_global,
              fmt::format("pickle: it calls '{}', which only names a type", global),
              {.path = file_->path()});
}

void TorchRules::fail(std::string_view sentence, ErrorFacts facts) const {
  facts.path = file_->path();
  throw Error(ErrorCode::pickle_structure, fmt::format("torch: {}", sentence), std::move(facts));
}

PickleStorage TorchRules::load(const PickleNode& id) {
  const auto* tuple = id.get_if<PickleSequence>();
  if (tuple == nullptr || tuple->items.size() != 5) {
    fail("a persistent id is not usable", {.expected = "a tuple of 5: a storage"});
  }
  const auto* tag = tuple->items[0]->get_if<std::string>();
  const auto* type = tuple->items[1]->get_if<PickleGlobal>();
  const auto* key = tuple->items[2]->get_if<std::string>();
  const auto* count = tuple->items[4]->get_if<std::int64_t>();
  if (tag == nullptr || *tag != "storage" || type == nullptr || key == nullptr ||
      key->size() > 256 || count == nullptr || *count < 0) {
    fail("a persistent id is not usable", {.expected = "('storage', type, key, device, elements)"});
  }
  PickleStorage storage{.key = *key, .dtype = std::nullopt};
  std::uint64_t element_bytes = 1;
  if (type->name != kUntypedStorage) {
    const TypeName* known = find_type(kStorages, type->name);
    if (known == nullptr || !known->dtype) {
      throw Error(ErrorCode::unknown_dtype, "torch: a storage's type has no safetensors dtype",
                  {.path = file_->path(), .found = fmt::format("'{}'", type->name)});
    }
    storage.dtype = known->dtype;
    element_bytes = bits(*known->dtype) / 8;
  }
  const auto entry = entries_.find(root_ + "data/" + *key);
  if (entry == entries_.end()) {
    throw Error(ErrorCode::zip_structure, "torch: a storage is not in the archive",
                {.path = file_->path(), .expected = fmt::format("'{}data/{}'", root_, *key)});
  }
  storage.offset = entry->second.offset;
  storage.size = entry->second.size;
  const auto announced = checked_mul(static_cast<std::uint64_t>(*count), element_bytes);
  if (announced != storage.size) {
    throw Error(ErrorCode::bad_offsets,
                fmt::format("torch: storage '{}' has another size than the pickle says", *key),
                {.path = file_->path(),
                 .expected = fmt::format("{} elements of {} bytes", *count, element_bytes),
                 .found = fmt::format("{} bytes", storage.size)});
  }
  return storage;
}

TensorInfo TorchRules::storage_info(const PickleStorage& storage, Dtype dtype) const {
  TensorInfo info;
  info.name = storage.key;
  info.dtype = dtype;
  info.shape = {static_cast<std::int64_t>(storage.size / (bits(dtype) / 8))};
  info.file = file_;
  info.offset = storage.offset;
  info.size = storage.size;
  return info;
}

TorchTensor TorchRules::whole(const PickleStorage& storage) const {
  TorchTensor tensor;
  tensor.storage = storage_info(storage, storage.dtype.value_or(Dtype::u8));
  tensor.shape = tensor.storage.shape;
  tensor.strides = {1};
  return tensor;
}

/// Arguments: storage, storage_offset, size, stride, requires_grad, backward_hooks, [dtype,]
/// [metadata].
PickleNode* TorchRules::make_tensor(const PickleSequence& arguments,
                                    bool names_dtype,
                                    PickleMachine& machine) {
  const auto& items = arguments.items;
  const std::size_t required = names_dtype ? 7 : 6;
  if (items.size() != required && items.size() != required + 1) {
    machine.fail("a tensor has another number of arguments than torch writes");
  }
  const auto* storage = items[0]->get_if<PickleStorage>();
  const auto* offset = items[1]->get_if<std::int64_t>();
  if (storage == nullptr || offset == nullptr || *offset < 0) {
    machine.fail("a tensor has no usable storage and offset");
  }
  std::optional<Dtype> dtype = storage->dtype;
  if (names_dtype) {
    const auto* global = items[6]->get_if<PickleGlobal>();
    const TypeName* named = global == nullptr ? nullptr : find_type(kDtypes, global->name);
    if (named == nullptr) machine.fail("a tensor's dtype is no dtype");
    if (!named->dtype) {
      throw Error(ErrorCode::unknown_dtype, "torch: a tensor's dtype has no safetensors dtype",
                  {.path = file_->path(), .found = fmt::format("'{}'", named->name)});
    }
    dtype = named->dtype;
  }
  if (!dtype) machine.fail("a tensor on a storage without a type names no dtype");
  if (items.size() > required) check_tensor_metadata(*items[required], machine, file_->path());

  auto tensor = std::make_unique<TorchTensor>();
  tensor->storage = storage_info(*storage, *dtype);
  tensor->storage_offset = *offset;
  tensor->shape = extents_of(*items[2], machine);
  tensor->strides = extents_of(*items[3], machine);
  check_view(*tensor);
  return machine.make(std::move(tensor));
}

void TorchRules::check_view(const TorchTensor& tensor) const {
  if (tensor.shape.size() != tensor.strides.size()) {
    fail("a tensor's strides do not fit its shape",
         {.expected = fmt::format("{} strides", tensor.shape.size()),
          .found = fmt::format("{}", tensor.strides.size())});
  }
  if (!byte_size(tensor.storage.dtype, tensor.shape)) {
    throw Error(ErrorCode::bad_shape,
                fmt::format("torch: a tensor on storage '{}' is too large", tensor.storage.name),
                {.path = file_->path(), .found = to_string(tensor.shape)});
  }
  if (tensor.elements() == 0) return;
  std::optional<std::uint64_t> last = static_cast<std::uint64_t>(tensor.storage_offset);
  for (std::size_t i = 0; last && i < tensor.shape.size(); ++i) {
    const auto reach = checked_mul(static_cast<std::uint64_t>(tensor.shape[i] - 1),
                                   static_cast<std::uint64_t>(tensor.strides[i]));
    last = reach ? checked_add(*last, *reach) : std::nullopt;
  }
  const auto elements = static_cast<std::uint64_t>(tensor.storage.shape[0]);
  if (last && *last < elements) return;
  throw Error(ErrorCode::bad_offsets,
              fmt::format("torch: a tensor leaves its storage '{}'", tensor.storage.name),
              {.path = file_->path(),
               .expected = fmt::format("elements within [0, {})", elements),
               .found = fmt::format("offset {}, shape {}, strides {}", tensor.storage_offset,
                                    to_string(tensor.shape), to_string(tensor.strides))});
}

}  // namespace ditq
