#include "convert/torch_checkpoint.h"

#include <cstring>

namespace ditq::test {
namespace {

template <typename Number>
void put(std::string& out, Number value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

std::uint32_t crc32(const std::string& bytes) {
  std::uint32_t crc = 0xffffffffU;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int i = 0; i < 8; ++i) crc = (crc >> 1) ^ ((crc & 1U) != 0 ? 0xedb88320U : 0U);
  }
  return ~crc;
}

// A zip archive of stored entries.
class Zip {
 public:
  void add(const std::string& name, const std::string& bytes) {
    const auto offset = static_cast<std::uint32_t>(out_.size());
    std::string common;
    put<std::uint16_t>(common, 20);  // version
    put<std::uint16_t>(common, 0);   // flags
    put<std::uint16_t>(common, 0);   // stored
    put<std::uint32_t>(common, 0);   // time and date
    put<std::uint32_t>(common, crc32(bytes));
    put<std::uint32_t>(common, static_cast<std::uint32_t>(bytes.size()));
    put<std::uint32_t>(common, static_cast<std::uint32_t>(bytes.size()));
    put<std::uint16_t>(common, static_cast<std::uint16_t>(name.size()));
    put<std::uint16_t>(common, 0);  // extra field
    out_ += "PK\x03\x04" + common + name + bytes;
    directory_ += "PK\x01\x02";
    put<std::uint16_t>(directory_, 20);
    directory_ += common;
    directory_ += std::string(10, '\0');  // comment, disk, attributes
    put<std::uint32_t>(directory_, offset);
    directory_ += name;
    ++count_;
  }

  std::string finish() const {
    std::string out = out_ + directory_ + "PK\x05\x06" + std::string(4, '\0');
    put<std::uint16_t>(out, count_);
    put<std::uint16_t>(out, count_);
    put<std::uint32_t>(out, static_cast<std::uint32_t>(directory_.size()));
    put<std::uint32_t>(out, static_cast<std::uint32_t>(out_.size()));
    put<std::uint16_t>(out, 0);
    return out;
  }

 private:
  std::string out_;
  std::string directory_;
  std::uint16_t count_ = 0;
};

void put_string(std::string& out, const std::string& text) {
  out += 'X';
  put<std::uint32_t>(out, static_cast<std::uint32_t>(text.size()));
  out += text;
}

void put_integer(std::string& out, std::int64_t value) {
  out += 'J';
  put<std::int32_t>(out, static_cast<std::int32_t>(value));
}

void put_tuple(std::string& out, const std::vector<std::int64_t>& values) {
  out += '(';
  for (const std::int64_t value : values) put_integer(out, value);
  out += 't';
}

// torch._utils._rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())
void put_tensor(std::string& out, const SavedTensor& tensor, std::size_t key) {
  out += "ctorch._utils\n_rebuild_tensor_v2\n((";
  put_string(out, "storage");
  out += "ctorch\nFloatStorage\n";
  put_string(out, std::to_string(key));
  put_string(out, "cpu");
  put_integer(out, static_cast<std::int64_t>(tensor.values.size()));
  out += "tQ";
  put_integer(out, 0);
  put_tuple(out, tensor.shape);
  std::vector<std::int64_t> strides(tensor.shape.size(), 1);
  for (std::size_t i = strides.size(); i > 1; --i)
    strides[i - 2] = strides[i - 1] * tensor.shape[i - 1];
  put_tuple(out, strides);
  out +=
      "\x89"
      "ccollections\nOrderedDict\n)RtR";
}

}  // namespace

std::string torch_archive(const std::string& pickle,
                          const std::vector<std::vector<float>>& storages) {
  Zip zip;
  zip.add("archive/data.pkl", pickle);
  zip.add("archive/byteorder", "little");
  for (std::size_t i = 0; i < storages.size(); ++i) {
    std::string bytes(storages[i].size() * sizeof(float), '\0');
    std::memcpy(bytes.data(), storages[i].data(), bytes.size());
    zip.add("archive/data/" + std::to_string(i), bytes);
  }
  zip.add("archive/version", "3\n");
  return zip.finish();
}

std::string torch_checkpoint(const std::vector<SavedTensor>& tensors,
                             const std::string& state_key,
                             const std::string& extra_opcodes) {
  std::string pickle = "\x80\x02}" + extra_opcodes;
  std::vector<std::vector<float>> storages;
  put_string(pickle, state_key);
  pickle += '}';
  for (const SavedTensor& tensor : tensors) {
    put_string(pickle, tensor.name);
    put_tensor(pickle, tensor, storages.size());
    pickle += 's';
    storages.push_back(tensor.values);
  }
  pickle += "s.";
  return torch_archive(pickle, storages);
}

}  // namespace ditq::test
