// A whole .pt file: the zip directory, then the pickle in it.

#include "harness.h"
#include "torch_archive.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ditq::fuzz;
  static Folder folder;
  read_checkpoint(folder.put("x.pt", text_of(data, size)));
  return 0;
}

/// Damages bytes of the archive, or one entry of it and packs all anew.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data,
                                               std::size_t size,
                                               std::size_t limit,
                                               unsigned int seed) {
  using namespace ditq::fuzz;
  Random random(seed);
  const std::string input(text_of(data, size));
  Archive archive = unpack(input);
  if (archive.empty() || random() % 3 == 0) return store(mutated(input, limit), data, limit);
  auto& [name, content] = archive[random() % archive.size()];
  switch (random() % 8) {
    case 0:
      name = mutated(name, 64);
      break;
    case 1: {
      const auto copy = archive[random() % archive.size()];
      archive.push_back(copy);
      break;
    }
    case 2:
      archive.erase(archive.begin() + static_cast<std::ptrdiff_t>(random() % archive.size()));
      break;
    case 3:
      std::swap(archive.front(), archive[random() % archive.size()]);
      break;
    default:
      content = name.ends_with("data.pkl") ? mutated_pickle(content, 4096, random)
                                           : mutated(content, 256);
      break;
  }
  return store(pack(archive, random() % 4 == 0), data, limit);
}
