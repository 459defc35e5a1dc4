// A torch checkpoint of ModelOpt as a calibration: quantizers, amax and low-rank factors, in an archive that is always sound.

#include "harness.h"
#include "ptq/calibration_state.h"
#include "torch_archive.h"

namespace {

using namespace ditq;

void use(const CalibrationState& state) {
  for (const auto& [name, tensor] : state.tensors()) {
    fuzz::require(&*state.find(name) == tensor, "a tensor is found by its name");
    state.is_transposed(*tensor);
    fuzz::read("", [&] { state.amax(name); });
  }
  if (state.has_factors()) state.rank();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static fuzz::Folder folder;
  const fuzz::Archive archive{{"r/data.pkl", std::string(fuzz::text_of(data, size))},
                              {"r/byteorder", "little"},
                              {"r/data/0", std::string(16, '\x3f')},
                              {"r/data/1", std::string(64, '\x40')}};
  const std::string path = folder.put("x.pt", fuzz::pack(archive, /*wide=*/false));
  fuzz::read(path, [&] { use(CalibrationState::open(path)); });
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data,
                                               std::size_t size,
                                               std::size_t limit,
                                               unsigned int seed) {
  fuzz::Random random(seed);
  const std::string pickle(fuzz::text_of(data, size));
  return fuzz::store(fuzz::mutated_pickle(pickle, limit, random), data, limit);
}
