#include "convert/made_tensors.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "base/interrupt.h"
#include "base/json.h"
#include "convert/random_tensor.h"
#include "convert/side_files.h"

namespace ditq {
namespace {

/// Elements that threads make between two writes: a multiple of every block size, 64 MiB of bf16.
constexpr std::uint64_t kPiece = std::uint64_t{32} << 20;
/// Bytes of a shard; diffusers' own limit is 10 GB.
constexpr std::uint64_t kShard = 9'900'000'000;

/// Calls fill for [begin, end) on all cores, each a share that is a multiple of 64 elements.
void fill_parallel(const MadeTensor& tensor,
                   std::uint64_t begin,
                   std::uint64_t end,
                   std::byte* out) {
  const std::uint64_t width = tensor.target.size / tensor.elements;
  const std::uint64_t cores = std::max(1U, std::thread::hardware_concurrency());
  const std::uint64_t share = ((end - begin) / cores / 64 + 1) * 64;
  std::vector<std::thread> threads;
  for (std::uint64_t first = begin; first < end; first += share) {
    const std::uint64_t last = std::min(first + share, end);
    threads.emplace_back([&tensor, first, last, to = out + (first - begin) * width] {
      tensor.fill(first, last, to);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

using Shard = std::vector<const MadeTensor*>;

std::vector<Shard> cut_shards(const std::vector<MadeTensor>& tensors) {
  std::vector<Shard> shards(1);
  std::uint64_t bytes = 0;
  for (const MadeTensor& tensor : tensors) {
    if (bytes != 0 && bytes + tensor.target.size > kShard) {
      shards.emplace_back();
      bytes = 0;
    }
    shards.back().push_back(&tensor);
    bytes += tensor.target.size;
  }
  return shards;
}

void write_shard(const Shard& shard, const std::string& path, ProgressBar& progress) {
  std::map<std::string, const MadeTensor*> by_name;
  std::vector<TensorToWrite> targets;
  for (const MadeTensor* tensor : shard) {
    targets.push_back(tensor->target);
    by_name.emplace(tensor->target.name, tensor);
  }
  SafetensorsWriter writer(path, std::move(targets), {{"format", "pt"}});
  std::vector<std::byte> buffer;
  for (const TensorToWrite& next : writer.order()) {
    const MadeTensor& tensor = *by_name.at(next.name);
    const std::uint64_t width = tensor.target.size / tensor.elements;
    for (std::uint64_t begin = 0; begin < tensor.elements; begin += kPiece) {
      check_interrupt();
      const std::uint64_t end = std::min(begin + kPiece, tensor.elements);
      buffer.resize((end - begin) * width);
      fill_parallel(tensor, begin, end, buffer.data());
      writer.write(buffer);
      progress.advance(buffer.size());
    }
  }
  writer.close();
}

void write_index(const std::vector<Shard>& shards,
                 const std::vector<std::string>& names,
                 std::uint64_t bytes,
                 const std::string& folder,
                 const std::string& file) {
  Json map = Json::object();
  for (std::size_t i = 0; i < shards.size(); ++i) {
    for (const MadeTensor* tensor : shards[i]) map[tensor->target.name] = names[i];
  }
  const Json index = {{"metadata", {{"total_size", bytes}}}, {"weight_map", map}};
  write_document(folder, file + ".safetensors.index.json",
                 dump_json(index, {.indent = 2, .sort_keys = true}) + "\n");
}

}  // namespace

std::uint64_t element_count(const Shape& shape) {
  std::uint64_t count = 1;
  for (const std::int64_t extent : shape) count *= static_cast<std::uint64_t>(extent);
  return count;
}

MadeTensor bf16_tensor(
    std::uint64_t seed, const std::string& name, const Shape& shape, float mean, float deviation) {
  const std::uint64_t count = element_count(shape);
  return {.target = {name, Dtype::bf16, shape, count * 2},
          .elements = count,
          .fill = [random = RandomTensor(seed, name), mean, deviation](
                      std::uint64_t begin, std::uint64_t end, std::byte* out) {
            normal_bf16(random, begin, mean, deviation,
                        {reinterpret_cast<std::uint16_t*>(out), end - begin});
          }};
}

MadeTensor value_tensor(const std::string& name, float value) {
  return {.target = {name, Dtype::f32, {}, sizeof(float)},
          .elements = 1,
          .fill = [value](std::uint64_t, std::uint64_t, std::byte* out) {
            std::copy_n(reinterpret_cast<const std::byte*>(&value), sizeof(value), out);
          }};
}

std::uint64_t byte_count(const std::vector<MadeTensor>& tensors) {
  std::uint64_t bytes = 0;
  for (const MadeTensor& tensor : tensors) bytes += tensor.target.size;
  return bytes;
}

std::size_t write_made_tensors(const std::vector<MadeTensor>& tensors,
                               const std::string& folder,
                               const std::string& file,
                               ProgressBar& progress) {
  const std::vector<Shard> shards = cut_shards(tensors);
  std::vector<std::string> names;
  for (std::size_t i = 0; i < shards.size(); ++i) {
    names.push_back(shards.size() == 1
                        ? file + ".safetensors"
                        : fmt::format("{}-{:05}-of-{:05}.safetensors", file, i + 1, shards.size()));
    write_shard(shards[i], (std::filesystem::path(folder) / names.back()).string(), progress);
  }
  if (shards.size() > 1) write_index(shards, names, byte_count(tensors), folder, file);
  return shards.size();
}

}  // namespace ditq
