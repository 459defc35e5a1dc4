#include "format/checkpoint.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "format/checkpoint_index.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxListed = 5;

/// Names of the folder's entries that are no folders, sorted.
std::vector<std::string> file_names_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code status;
  fs::directory_iterator entry(folder, status);
  for (; !status && entry != fs::directory_iterator(); entry.increment(status)) {
    std::error_code ignored;  // a dangling link counts as a file: opening it says what is wrong
    if (!entry->is_directory(ignored)) names.push_back(entry->path().filename().string());
  }
  if (status) {
    throw Error(ErrorCode::file_unreadable,
                fmt::format("cannot list the folder: {}", status.message()), {.path = folder});
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string join_path(const std::string& folder, const std::string& name) {
  return (fs::path(folder) / name).string();
}

/// Up to five names and how many more there are.
class Listed {
 public:
  void add(std::string text) {
    if (++count_ <= kMaxListed) lines_.push_back(std::move(text));
  }
  bool empty() const { return count_ == 0; }
  std::string text() const {
    std::string out = fmt::format("{}", fmt::join(lines_, ", "));
    if (count_ > kMaxListed) out += fmt::format(" and {} more", count_ - kMaxListed);
    return out;
  }

 private:
  std::vector<std::string> lines_;
  std::size_t count_ = 0;
};

/// A shard's and a tensor's name; both live in the table of shards.
using Place = std::pair<std::string_view, std::string_view>;
using StoredTensors = std::map<Place, const TensorInfo*>;

StoredTensors stored_tensors(const std::map<std::string, SafetensorsFile>& shards) {
  StoredTensors out;
  for (const auto& [shard, file] : shards) {
    for (const TensorInfo& tensor : file.tensors) out.emplace(Place{shard, tensor.name}, &tensor);
  }
  return out;
}

void check_shards_exist(const CheckpointIndex& index,
                        const std::vector<std::string>& present,
                        const std::string& folder,
                        const std::string& index_path) {
  std::map<std::string, std::string> missing;  // shard to a tensor in it
  for (const auto& [tensor, shard] : index.weight_map) {
    if (std::binary_search(present.begin(), present.end(), shard)) continue;
    missing.emplace(shard, tensor);
  }
  if (missing.empty()) return;
  Listed names;
  for (const auto& [shard, tensor] : missing) names.add(fmt::format("'{}'", shard));
  throw Error(ErrorCode::missing_shard, fmt::format("index: {} is not in the folder", names.text()),
              {.path = index_path,
               .tensor = missing.begin()->second,
               .expected = join_path(folder, missing.begin()->first),
               .found = "no such file",
               .advice = "Fetch the missing part of the checkpoint"});
}

/// What index and shards say differently, both ways.
struct Disagreement {
  Listed not_in_shard;
  Listed not_in_index;

  void raise_if_any(const std::string& index_path) const {
    if (not_in_shard.empty() && not_in_index.empty()) return;
    std::string found;
    if (!not_in_shard.empty()) {
      found = fmt::format("in the index but not in the shard it names: {}", not_in_shard.text());
    }
    if (!not_in_index.empty()) {
      if (!found.empty()) found += "; ";
      found += fmt::format("in a shard but not in the index: {}", not_in_index.text());
    }
    throw Error(ErrorCode::index_disagrees, "index and shards disagree",
                {.path = index_path,
                 .expected = "the index to name exactly the tensors of its shards",
                 .found = std::move(found)});
  }
};

}  // namespace

Checkpoint Checkpoint::open(const std::string& path, const CheckpointOptions& options) {
  std::error_code status;
  const fs::file_status kind = fs::status(path, status);
  if (kind.type() == fs::file_type::not_found) {
    throw Error(ErrorCode::file_not_found, "the checkpoint does not exist",
                {.path = path, .expected = "a safetensors file, or a folder of them"});
  }
  Checkpoint out;
  out.path_ = path;
  if (kind.type() == fs::file_type::directory) {
    out.open_folder(options);
  } else {
    const fs::path file(path);
    out.open_shard(file.parent_path().string(), file.filename().string());
    out.collect_unindexed();
  }
  return out;
}

Checkpoint Checkpoint::open_files(const std::string& folder,
                                  const std::vector<std::string>& names) {
  Checkpoint out;
  out.path_ = folder;
  for (const std::string& name : names) out.open_shard(folder, name);
  out.collect_unindexed();
  return out;
}

void Checkpoint::open_shard(const std::string& folder, const std::string& name) {
  shards_.emplace(name, SafetensorsFile::open(join_path(folder, name)));
}

void Checkpoint::open_folder(const CheckpointOptions& options) {
  const std::vector<std::string> files = file_names_in(path_);
  if (const auto index = choose_index(files)) {
    open_indexed(*index);
    return;
  }
  std::vector<std::string> shards;
  std::copy_if(files.begin(), files.end(), std::back_inserter(shards),
               [](const auto& name) { return name.ends_with(".safetensors"); });
  if (shards.empty() || (shards.size() > 1 && options.require_index_for_shards)) {
    throw Error(ErrorCode::ambiguous_shards, "the folder is no checkpoint",
                {.path = path_,
                 .expected = "a *.safetensors.index.json, or exactly one *.safetensors file",
                 .found = fmt::format("no index and {} shard{}", shards.size(),
                                      shards.size() == 1 ? "" : "s")});
  }
  for (const std::string& shard : shards) open_shard(path_, shard);
  collect_unindexed();
}

void Checkpoint::open_indexed(const std::string& index_name) {
  const std::string index_path = join_path(path_, index_name);
  const CheckpointIndex index = read_checkpoint_index(index_path);
  check_shards_exist(index, file_names_in(path_), path_, index_path);
  index_name_ = index_name;
  first_shard_ = index.weight_map.front().second;
  for (const auto& [tensor, shard] : index.weight_map) {
    if (!shards_.contains(shard)) open_shard(path_, shard);
  }

  const StoredTensors stored = stored_tensors(shards_);
  Disagreement disagreement;
  for (const auto& [tensor, shard] : index.weight_map) {
    const auto found = stored.find(Place{shard, tensor});
    if (found == stored.end()) {
      disagreement.not_in_shard.add(fmt::format("'{}' ({})", tensor, shard));
    } else {
      tensors_.emplace(tensor, found->second);
    }
  }
  for (const auto& [place, tensor] : stored) {
    // A second copy in a shard that the index passes over is how SGLang's FP8 builder replaces a
    // scale whose weight lies in another shard.
    if (tensors_.contains(tensor->name)) continue;
    disagreement.not_in_index.add(fmt::format("'{}' ({})", tensor->name, place.first));
  }
  disagreement.raise_if_any(index_path);
}

void Checkpoint::collect_unindexed() {
  first_shard_ = shards_.begin()->first;
  for (const auto& [shard, file] : shards_) {
    for (const TensorInfo& tensor : file.tensors) {
      const auto [place, added] = tensors_.emplace(tensor.name, &tensor);
      if (added) continue;
      throw Error(ErrorCode::duplicate_tensor,
                  "two shards hold this tensor and no index says which one counts",
                  {.path = path_,
                   .tensor = tensor.name,
                   .found = fmt::format("{} and {}", place->second->file->path(), file.path)});
    }
  }
}

const TensorInfo* Checkpoint::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : found->second;
}

const TensorInfo& Checkpoint::at(const std::string& name) const {
  const TensorInfo* found = find(name);
  if (found == nullptr) {
    throw Error(ErrorCode::missing_tensor, "the checkpoint lacks a tensor",
                {.path = path_, .tensor = name});
  }
  return *found;
}

void Checkpoint::release_pages() const {
  for (const auto& [name, shard] : shards_) {
    if (!shard.tensors.empty()) shard.tensors.front().file->release_pages();
  }
}

std::uint64_t Checkpoint::total_size() const {
  std::uint64_t total = 0;
  for (const auto& [name, tensor] : tensors_) total += tensor->size;
  return total;
}

}  // namespace ditq
