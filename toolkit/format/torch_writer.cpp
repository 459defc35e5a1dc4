#include "format/torch_writer.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>
#include <unistd.h>

#include "base/error.h"
#include "base/sha256.h"
#include "format/zip_writer.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

struct TorchType {
  Dtype dtype;
  const char* storage;
  const char* name;
};

constexpr TorchType kTypes[] = {
    {Dtype::boolean, "BoolStorage", "bool"}, {Dtype::u8, "ByteStorage", "uint8"},
    {Dtype::i8, "CharStorage", "int8"},      {Dtype::i16, "ShortStorage", "int16"},
    {Dtype::i32, "IntStorage", "int32"},     {Dtype::i64, "LongStorage", "int64"},
    {Dtype::f16, "HalfStorage", "float16"},  {Dtype::bf16, "BFloat16Storage", "bfloat16"},
    {Dtype::f32, "FloatStorage", "float32"}, {Dtype::f64, "DoubleStorage", "float64"},
};

const TorchType& type_of(Dtype dtype) {
  for (const TorchType& type : kTypes) {
    if (type.dtype == dtype) return type;
  }
  throw Error(ErrorCode::unsupported, "torch.save has no storage type for this dtype",
              {.found = std::string(name(dtype))});
}

std::int64_t elements_of(const Shape& shape) {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) count *= extent;
  return count;
}

/// 40 digits that name the content, as torch derives them from names and checksums.
std::string serialization_id(const std::string& pickle) {
  Sha256 digest;
  digest.update(pickle);
  std::string digits;
  for (const char c : digest.finish().substr(0, 40)) {
    digits += static_cast<char>('0' + (c <= '9' ? c - '0' : c - 'a' + 10) % 10);
  }
  return digits;
}

/// A file that is removed again unless it is moved to its place.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& target)
      : target_(target), path_(fmt::format("{}.partial-{}", target, ::getpid())) {}
  ~TemporaryFile() {
    if (!placed_) std::remove(path_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  const std::string& path() const { return path_; }

  void place() {
    if (std::rename(path_.c_str(), target_.c_str()) != 0) {
      throw Error(ErrorCode::storage,
                  fmt::format("cannot move the file to its place: {}", std::strerror(errno)),
                  {.path = target_});
    }
    placed_ = true;
  }

 private:
  std::string target_;
  std::string path_;
  bool placed_ = false;
};

}  // namespace

PickleItem torch_tensor(std::size_t index, const TorchTensorToWrite& tensor) {
  PickleItem::Tuple size;
  PickleItem::Tuple strides;
  std::int64_t stride = elements_of(tensor.shape);
  for (const std::int64_t extent : tensor.shape) {
    stride = extent == 0 ? 1 : stride / extent;
    size.items.emplace_back(extent);
    strides.items.emplace_back(stride);
  }
  PickleItem::PersistentId storage{{"storage",
                                    PickleItem::Global{"torch", type_of(tensor.dtype).storage},
                                    std::to_string(index), "cpu", elements_of(tensor.shape)}};
  return PickleItem::Call{
      .function = {"torch._utils", "_rebuild_tensor_v2"},
      .arguments = {std::move(storage), 0, std::move(size), std::move(strides), false,
                    PickleItem::Call{{"collections", "OrderedDict"}, {}, {}, {}}},
      .items = {},
      .state = {}};
}

PickleItem torch_dtype(Dtype dtype) {
  return PickleItem::Global{"torch", type_of(dtype).name};
}

PickleItem torch_size(const Shape& shape) {
  PickleItem::Tuple extents;
  for (const std::int64_t extent : shape) extents.items.emplace_back(extent);
  return PickleItem::Call{{"torch", "Size"}, {std::move(extents)}, {}, {}};
}

void write_torch_file(const std::string& path,
                      const PickleItem& root,
                      const std::vector<TorchTensorToWrite>& tensors,
                      const std::function<void(std::size_t, const ByteSink&)>& fill) {
  const std::string folder = fs::path(path).stem().string() + "/";
  const std::string pickle = write_pickle(root);
  TemporaryFile file(path);
  ZipWriter zip(file.path());
  zip.add(folder + "data.pkl", pickle);
  zip.add(folder + ".format_version", "1");
  zip.add(folder + ".storage_alignment", std::to_string(kZipAlignment));
  zip.add(folder + "byteorder", "little");
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const auto size = byte_size(tensors[i].dtype, tensors[i].shape);
    DITQ_ASSERT(size.has_value());
    zip.begin(fmt::format("{}data/{}", folder, i), *size);
    fill(i, [&zip](Bytes bytes) { zip.write(bytes); });
  }
  zip.add(folder + "version", "3\n");
  zip.add(folder + ".data/serialization_id", serialization_id(pickle));
  zip.close();
  file.place();
}

}  // namespace ditq
