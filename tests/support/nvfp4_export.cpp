#include "support/nvfp4_export.h"

#include <cstdint>
#include <filesystem>
#include <list>
#include <vector>

#include "format/checkpoint.h"
#include "quant/nvfp4.h"
#include "support/paths.h"

namespace ditq::test {
namespace {

namespace fs = std::filesystem;

float scale_of(const Checkpoint& checkpoint, const std::string& name) {
  float value = 0.0f;
  const TensorInfo& tensor = checkpoint.at(name);
  tensor.file->read(tensor.offset, std::as_writable_bytes(std::span(&value, 1)));
  return value;
}

// ModelOpt's export of the bundled model: its weights, quantized with the export's own global
// scales.
class Flux1Export {
 public:
  explicit Flux1Export(const std::string& folder)
      : base_(Checkpoint::open((tiny_flux() / "transformer").string())),
        small_(Checkpoint::open(data("convert/flux1-tiny-nvfp4/small.safetensors").string())) {
    for (const auto& [name, tensor] : base_.tensors()) add(*tensor);
    for (const auto& [name, tensor] : small_.tensors()) copy(*tensor);
    fs::create_directories(folder);
    write_safetensors(folder + "/diffusion_pytorch_model.safetensors", tensors_,
                      {{"format", "pt"}});
    fs::copy_file(data("convert/flux1-tiny-nvfp4/config.json"), folder + "/config.json");
  }

 private:
  void add(const TensorInfo& tensor) {
    if (small_.find(tensor.name + "_scale_2") == nullptr) return copy(tensor);
    const std::int64_t rows = tensor.shape[0], columns = tensor.shape[1];
    auto& packed = bytes_.emplace_back(tensor.elements() / 2);
    auto& scales = bytes_.emplace_back(tensor.elements() / kNvfp4Block);
    quantize_nvfp4(tensor.dtype, tensor.bytes(), scale_of(small_, tensor.name + "_scale_2"), packed,
                   scales);
    tensors_.push_back(
        {tensor.name, Dtype::u8, {rows, columns / 2}, std::as_bytes(std::span(packed))});
    tensors_.push_back({tensor.name + "_scale",
                        Dtype::f8_e4m3,
                        {rows, columns / 16},
                        std::as_bytes(std::span(scales))});
  }

  void copy(const TensorInfo& tensor) {
    tensors_.push_back({tensor.name, tensor.dtype, tensor.shape, tensor.bytes()});
  }

  Checkpoint base_;
  Checkpoint small_;
  std::list<std::vector<std::uint8_t>> bytes_;
  std::vector<TensorData> tensors_;
};

}  // namespace

void write_flux1_nvfp4_export(const std::string& folder) {
  const Flux1Export written(folder);
}

}  // namespace ditq::test
