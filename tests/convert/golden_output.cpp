#include "convert/golden_output.h"

#include <map>
#include <span>
#include <sstream>
#include <vector>

#include <openssl/sha.h>

#include "format/safetensors.h"

namespace ditq::test {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kDigestLength = 32;  // as the tracked lists store it

std::string row_of(const std::string& name,
                   const std::string& dtype,
                   const Shape& shape,
                   const std::string& digest,
                   const std::string& shard) {
  std::string extents;
  for (const std::int64_t extent : shape) {
    if (!extents.empty()) extents += 'x';
    extents += std::to_string(extent);
  }
  return name + " " + dtype + " " + (extents.empty() ? "-" : extents) + " " +
         digest.substr(0, kDigestLength) + " " + shard;
}

std::string sha256_of_text(const std::string& text) {
  return sha256(std::as_bytes(std::span(text)));
}

}  // namespace

std::string sha256(Bytes bytes) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest);
  std::string out;
  for (const unsigned char byte : digest) {
    out += "0123456789abcdef"[byte >> 4];
    out += "0123456789abcdef"[byte & 15];
  }
  return out;
}

GoldenOutput read_output(const fs::path& folder) {
  GoldenOutput output;
  std::map<std::string, std::string> rows;  // by tensor: the later shard counts
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.insert(entry.path().filename().string());
  }
  for (const std::string& file : names) {
    const std::string path = (folder / file).string();
    if (file == "checksums") continue;  // ours alone
    if (!file.ends_with(".safetensors")) {
      output.files[file] = sha256(InputFile::open(path)->map());
      continue;
    }
    const SafetensorsFile shard = SafetensorsFile::open(path);
    output.metadata[file] = Json::object();
    for (const auto& [key, value] : shard.metadata) {
      output.metadata[file][key] = sha256_of_text(value);
    }
    for (const TensorInfo& tensor : shard.tensors) {
      if (rows.contains(tensor.name)) output.twice.insert(tensor.name);
      rows[tensor.name] = row_of(tensor.name, std::string(name(tensor.dtype)), tensor.shape,
                                 sha256(tensor.bytes()), file);
    }
  }
  for (const auto& [name, row] : rows) output.rows.insert(row);
  return output;
}

GoldenOutput read_manifest(const Json& manifest) {
  GoldenOutput output;
  for (const auto& [tensor, facts] : manifest["tensors"].items()) {
    output.rows.insert(row_of(tensor, facts["dtype"].get<std::string>(),
                              facts["shape"].get<Shape>(), facts["sha256"].get<std::string>(),
                              facts["shard"].get<std::string>()));
  }
  for (const auto& [shard, values] : manifest["metadata"].items()) {
    output.metadata[shard] = Json::object();
    for (const auto& [key, value] : values.items()) {
      output.metadata[shard][key] = sha256_of_text(value.get<std::string>());
    }
  }
  output.files = manifest["other_files"];
  return output;
}

GoldenOutput read_packed(const Json& packed, const Json& rows) {
  GoldenOutput output{.rows = {}, .metadata = packed["metadata"], .files = packed["files"]};
  if (packed.contains("written_twice")) {
    output.twice = packed["written_twice"].get<std::set<std::string>>();
  }
  std::istringstream text(packed["tensors"].get<std::string>());
  for (std::string part; std::getline(text, part, ',');) {
    const std::size_t dash = part.find('-');
    const std::size_t first = std::stoul(part);
    const std::size_t last = dash == std::string::npos ? first : std::stoul(part.substr(dash + 1));
    for (std::size_t i = first; i <= last; ++i) output.rows.insert(rows[i].get<std::string>());
  }
  return output;
}

}  // namespace ditq::test
