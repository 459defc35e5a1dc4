// The index of a sharded checkpoint: shard names never lead out of the folder.

#include "format/checkpoint_index.h"

#include "harness.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ditq;
  static fuzz::Folder folder;
  const std::string& path = folder.put("model.safetensors.index.json", fuzz::text_of(data, size));
  fuzz::read(path, [&] {
    const CheckpointIndex index = read_checkpoint_index(path);
    fuzz::require(!index.weight_map.empty(), "an index names a tensor");
    for (const auto& [tensor, shard] : index.weight_map) {
      const bool plain =
          !shard.empty() && shard != "." && shard != ".." && shard.find('/') == std::string::npos;
      fuzz::require(plain, "a shard lies in the folder");
    }
  });
  return 0;
}
