#include "format/checkpoint_index.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "base/file.h"
#include "format/safetensors.h"
#include "format/strict_json.h"

namespace ditq {
namespace {

/// As large as a safetensors header may be: an index repeats its shards' names.
constexpr std::uint64_t kMaxIndexBytes = 100'000'000;

[[noreturn]] void fail(const std::string& path, std::string_view sentence, ErrorFacts facts = {}) {
  facts.path = path;
  throw Error(ErrorCode::bad_index, fmt::format("index: {}", sentence), std::move(facts));
}

/// Bytes of a file's name, as file systems limit them.
constexpr std::size_t kMaxShardName = 255;

/// A shard lies beside its index: anything else could read, and later write, outside the folder.
void check_shard_name(std::string_view shard, std::string_view tensor, const std::string& path) {
  const bool plain = !shard.empty() && shard.size() <= kMaxShardName && shard != "." &&
                     shard != ".." && shard.find('/') == std::string_view::npos &&
                     shard.find('\0') == std::string_view::npos;
  if (plain) return;
  throw Error(ErrorCode::shard_outside, "index: a shard's name is not a plain file name",
              {.path = path,
               .tensor = std::string(tensor),
               .expected = "the name of a file in the folder of the index",
               .found = fmt::format("'{}'", shard)});
}

simdjson::dom::object weight_map_of(simdjson::dom::element root, const std::string& path) {
  simdjson::dom::object document;
  if (root.get(document) != simdjson::SUCCESS) {
    fail(path, "not usable",
         {.expected = "an object with weight_map", .found = std::string(kind_of(root))});
  }
  std::vector<std::string_view> keys;
  simdjson::dom::element map;
  bool found = false;
  for (const auto [key, value] : document) {
    keys.push_back(key);
    if (key != "weight_map") continue;
    map = value;
    found = true;
  }
  if (!found) fail(path, "there is no weight_map");
  if (const auto twice = repeated_key(std::move(keys)); twice.found) {
    fail(path, fmt::format("'{}' stands there twice", twice.key));
  }
  simdjson::dom::object entries;
  if (map.get(entries) != simdjson::SUCCESS) {
    fail(path, "weight_map is not usable",
         {.expected = "an object", .found = std::string(kind_of(map))});
  }
  return entries;
}

}  // namespace

CheckpointIndex read_checkpoint_index(const std::string& path) {
  const simdjson::padded_string text(read_text(path, kMaxIndexBytes));
  simdjson::dom::parser parser;
  const auto root = parse_strict(parser, text, ErrorCode::json_syntax, "index", path);

  CheckpointIndex index;
  std::vector<std::string_view> names;
  for (const auto [tensor, value] : weight_map_of(root, path)) {
    std::string_view shard;
    if (value.get(shard) != simdjson::SUCCESS) {
      fail(path, "a weight_map value is not usable",
           {.tensor = std::string(tensor),
            .expected = "the name of a shard",
            .found = std::string(kind_of(value))});
    }
    if (tensor.size() > kMaxTensorName) {
      fail(path, "a tensor's name is too long",
           {.tensor = std::string(tensor.substr(0, 64)) + "…",
            .expected = fmt::format("at most {} bytes", kMaxTensorName),
            .found = fmt::format("{} bytes", tensor.size())});
    }
    if (names.size() == kMaxSafetensorsTensors) {
      fail(path, "too many tensors",
           {.expected = fmt::format("at most {}", kMaxSafetensorsTensors)});
    }
    check_shard_name(shard, tensor, path);
    names.push_back(tensor);
    index.weight_map.emplace_back(tensor, shard);
  }
  if (names.empty()) fail(path, "weight_map names no tensor");
  if (const auto twice = repeated_key(std::move(names)); twice.found) {
    fail(path, "weight_map names a tensor twice", {.tensor = twice.key});
  }
  return index;
}

std::optional<std::string> choose_index(const std::vector<std::string>& file_names) {
  for (const char* standard :
       {"model.safetensors.index.json", "diffusion_pytorch_model.safetensors.index.json"}) {
    if (std::find(file_names.begin(), file_names.end(), standard) != file_names.end()) {
      return standard;
    }
  }
  std::optional<std::string> first;
  for (const std::string& name : file_names) {
    if (name.ends_with(".safetensors.index.json") && (!first || name < *first)) first = name;
  }
  return first;
}

}  // namespace ditq
