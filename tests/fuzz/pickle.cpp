// The pickle of a .pt file alone, in an archive that is always sound.

#include "harness.h"
#include "torch_archive.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ditq::fuzz;
  static Folder folder;
  const Archive archive{{"r/data.pkl", std::string(text_of(data, size))},
                        {"r/byteorder", "little"},
                        {"r/data/0", std::string(16, 'x')},
                        {"r/data/1", std::string(64, 'y')},
                        {"r/data/2", ""}};
  read_checkpoint(folder.put("x.pt", pack(archive, /*wide=*/false)));
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data,
                                               std::size_t size,
                                               std::size_t limit,
                                               unsigned int seed) {
  using namespace ditq::fuzz;
  Random random(seed);
  return store(mutated_pickle(std::string(text_of(data, size)), limit, random), data, limit);
}
